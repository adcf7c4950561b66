"""What a job finds that the one before it on the same instance has left."""
import os
import pathlib

name = os.environ["TRAINING_JOB_NAME"]
places = ["/tmp", "/root", "/opt/ml/model", "/opt/ml/output/data", "/opt/ml/input/data", "/usr/local/lib", "/dev/shm"]
print("left behind:", [str(f) for p in places for f in pathlib.Path(p).glob("**/mark-*")], flush=True)


def environment_of(process):
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # another's, or gone
        return []


told = {word.decode() for process in pathlib.Path("/proc").glob("[0-9]*") for word in environment_of(process)
        if word.startswith(b"SECRET=")}
print("told to its processes:", sorted(told), flush=True)
cache = os.environ.get("SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY")
if cache:
    print("in the cache:", sorted(os.listdir(cache)), "with", os.environ["SM_HPS"], flush=True)
    places.append(cache)
for folder in map(pathlib.Path, places):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"mark-{name}").write_text(name)
