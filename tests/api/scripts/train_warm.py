"""What a job finds that the one before it on the same instance has left."""
import os
import pathlib

name = os.environ["TRAINING_JOB_NAME"]
places = ["/tmp", "/root", "/opt/ml/model", "/opt/ml/output/data", "/opt/ml/input/data", "/usr/local/lib"]
print("left behind:", [str(f) for p in places for f in pathlib.Path(p).glob("**/mark-*")], flush=True)
for place in places:
    folder = pathlib.Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"mark-{name}").write_text(name)
