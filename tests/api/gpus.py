"""A server on a machine with GPUs, of the fake driver in tests/fake, and jobs that hold them."""
import os
import pathlib
import shutil
import tempfile

from conftest import BUILD, Server, wait_for
from jobs import Jobs, request

# SIGTERM ends a Python program that does not look at it.
HOLD = "import glob, time; print('sees', *sorted(glob.glob('/dev/nvidia[0-9]*')), flush=True); time.sleep(3600)"


class Machine(Server):
    """A server on a machine with so many GPUs, and with these libraries of its driver."""

    def __init__(self, gpus, libraries=("libnvidia-ml.so.1",), fleet=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-gpus-"))
        for library in libraries:
            shutil.copy(BUILD / "tests" / "fake" / library, self.folder)
        for i in range(gpus):
            (self.folder / f"nvidia{i}").write_text("")
        self.lines = []
        self.say(f"gpus {gpus}")
        self.more = {"LD_LIBRARY_PATH": str(self.folder), "FAKE_NVML": str(self.folder / "machine"),
                     "SAGEBRUSH_GPU_DEVICES": str(self.folder)}
        os.environ.update(self.more)
        try:
            if fleet:
                (self.folder / "fleet.toml").write_text(fleet)
            super().__init__(options=["--fleet", str(self.folder / "fleet.toml")] if fleet else [])
            self.start()
        finally:
            for name in self.more:
                del os.environ[name]

    def say(self, *lines):
        self.now(*self.lines, *lines)

    def now(self, *lines):
        """These lines instead of those before."""
        self.lines = list(lines)
        (self.folder / "new").write_text("\n".join(self.lines) + "\n")
        (self.folder / "new").rename(self.folder / "machine")

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class GpuJobs(Jobs):
    def create(self, name, type="ml.g5.xlarge", count=1, groups=None, script=HOLD, **more):
        made = request(name, self.role, self.bucket, script=script, **more)
        made["ResourceConfig"] = {"VolumeSizeInGB": 1, **(
            {"InstanceGroups": [{"InstanceGroupName": t[3:], "InstanceType": t, "InstanceCount": n}
                                for t, n in groups.items()]}
            if groups else {"InstanceType": type, "InstanceCount": count})}
        self.submit(made)

    def sees(self, name, instances=1):
        lines = wait_for(lambda: (seen := [x for x in self.lines(name) if x.startswith("sees")]) and
                         len(seen) == instances and seen, 60, f"{name}'s first line", 0.1)
        return sorted(line[5:] for line in lines)


def jobs_of(machine):
    """For a fixture."""
    s3 = machine.client("s3")
    s3.create_bucket(Bucket="gpus", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    made = GpuJobs(machine.client, machine.role, "gpus")
    yield made
    made.close()
