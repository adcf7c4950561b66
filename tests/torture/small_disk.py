"""A file system of its own, small enough to be filled: ext4 in a file, mounted by a loop device, for the data
directory."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time


class SmallDisk:
    def __init__(self, mib):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-small-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.settings = self.folder / "sagebrush.conf"
        self.settings.write_text("disk-reserve = 16M\n")
        self.ballast = self.data / "ballast"  # somebody else's files on the same disk
        image = self.folder / "image"
        with open(image, "wb") as f:
            f.truncate(mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
        try:
            subprocess.run(["mount", "-o", "loop", image, self.data], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as e:
            shutil.rmtree(self.folder)
            raise PermissionError("a loop device cannot be mounted here: " + e.stderr.strip()) from e

    def free(self):
        room = os.statvfs(self.data)
        return room.f_bavail * room.f_frsize

    def fill(self, leave=0):
        """Until no more than that is left, however much is given back meanwhile."""
        with open(self.ballast, "ab", buffering=0) as f:
            for piece in (1 << 20, 1 << 16, 4096):
                while self.free() >= leave + piece:
                    try:
                        f.write(b"x" * piece)
                    except OSError:
                        break

    def make_room(self):
        self.ballast.unlink(missing_ok=True)

    def close(self, keep=False):
        """What was deleted may be held open for a moment."""
        for _ in range(50):
            if subprocess.run(["umount", self.data], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", self.data])
        if keep:
            print("kept:", self.folder / "image")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
