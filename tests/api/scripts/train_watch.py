"""A spot job that looks at its metadata service as on EC2, and goes on after it was interrupted once."""
import json
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.request

META = "http://169.254.169.254/latest/meta-data/"
MARK = pathlib.Path("/opt/ml/checkpoints/interrupted")


def meta(path):
    try:
        return urllib.request.urlopen(META + path, timeout=5).read().decode()
    except urllib.error.HTTPError:
        return ""


def told(*_):
    print("told", json.dumps({"id": meta("instance-id"), "action": json.loads(meta("spot/instance-action"))["action"],
                              "rebalance": "noticeTime" in meta("events/recommendations/rebalance")}), flush=True)
    MARK.parent.mkdir(parents=True, exist_ok=True)
    MARK.write_text("")
    sys.exit(0)


signal.signal(signal.SIGTERM, told)
if MARK.exists():
    print("goes on", flush=True)
    sys.exit(0)
print("waits", flush=True)
while True:
    time.sleep(0.1)
