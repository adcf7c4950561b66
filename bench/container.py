"""The trivial container as an image: one static program in an OCI archive, and as a bundle for a bare `runc run`."""
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

from common import ROOT, need


def program(folder):
    path = pathlib.Path(folder) / "container"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        subprocess.run([need("gcc", "gcc"), "-O2", "-static", "-o", path, ROOT / "bench" / "container.c"], check=True)
    return path


def archive(folder, data):
    """oci-archive: a layout with one layer that holds /container, where the server of this data directory looks for
    it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program(folder), "container")
    blobs = {}

    def blob(data, media):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(data)}

    content = layer.getvalue()
    config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/container"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"),
                "layers": [blob(content, "layer.v1.tar")]}
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    path = pathlib.Path(data) / "images" / "archives" / "container.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                              ("index.json", json.dumps(index).encode()),
                              *((f"blobs/sha256/{d}", c) for d, c in blobs.items())]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return f"oci-archive:{path.name}"


def bundle(folder, arguments, host_usr=False):
    """What `runc run` needs for these arguments, in an own network namespace and nothing of ours around it."""
    path = pathlib.Path(folder)
    root = path / "rootfs"
    root.mkdir(parents=True, exist_ok=True)
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
              {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "mode=755", "size=65536k"]}]
    if host_usr:
        mounts.append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
        for name in ("bin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
    else:
        (root / "container").write_bytes(program(folder).read_bytes())
        (root / "container").chmod(0o755)
    config = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": mounts,
              "process": {"cwd": "/", "args": arguments, "env": ["PATH=/usr/bin:/bin"], "user": {"uid": 0, "gid": 0}},
              "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")]}}
    (path / "config.json").write_text(json.dumps(config))
    return path
