"""Load: requests that are signed and written out beforehand, and who sends them - wrk, or one connection of ours."""
import json
import re
import socket
import subprocess
import tempfile

from common import ROOT, need

JSON = {"Content-Type": "application/x-amz-json-1.1"}
REQUESTS = ROOT / "bench" / "requests.lua"


def signed(server, service, method, url, headers, body=b""):
    """The headers of a request signed as botocore does."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    env = server.env
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    request = AWSRequest(method, url, headers, body)
    SigV4Auth(credentials, service, env["AWS_DEFAULT_REGION"]).add_auth(request)
    return dict(request.headers)


def raw(method, url, headers, body, length=None):
    """The request as text; 'length' of a body that somebody else puts behind it."""
    _, _, host, path = url.split("/", 3) if url.count("/") > 2 else (*url.split("/"), "")
    lines = [f"{method} /{path} HTTP/1.1", f"Host: {host}",
             f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{k}: {v}" for k, v in headers.items() if k.lower() not in ("host", "content-length")]
    return "\r\n".join(lines) + "\r\n\r\n" + body.decode()


def call(server, url, operation, body):
    text = json.dumps(body).encode()
    headers = signed(server, "sagemaker", "POST", url, {**JSON, "X-Amz-Target": f"SageMaker.{operation}"}, text)
    return raw("POST", url, headers, text)


def job(name, role, instance_type="ml.m5.large"):
    """CreateTrainingJob, for those that only count such requests: its channel is nowhere."""
    return {"TrainingJobName": name, "RoleArn": role,
            "AlgorithmSpecification": {"TrainingImage": "sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
            "HyperParameters": {"num_round": "10", "objective": "binary:logistic"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": "s3://bench/train/"}}}],
            "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600}}


def file_of(requests):
    """For wrk's requests.lua; the caller removes it."""
    f = tempfile.NamedTemporaryFile("w", suffix=".requests", delete=False, newline="")
    f.write("".join(r + "\n%%\n" for r in requests))
    f.close()
    return f.name


def wrk(url, script=None, seconds=5, connections=16, threads=1, arguments=()):
    """Requests per second, errors, and the latencies in ms that wrk saw."""
    command = [need("wrk", "wrk"), "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency", url]
    if script:
        command[1:1] = ["-s", str(script)]
    out = subprocess.run([*command, "--", *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {p: float(v) * unit[u] for p, v, u in re.findall(r"(50|75|90|99)%\s+([\d.]+)(us|ms|s)", out)}
    return {"rate": rate, "bad": int(bad[1]) if bad else 0, "errors": errors[1] if errors else "", "ms": latency}


def replay(url, requests, seconds, connections):
    """wrk with the requests of this file; every one must be taken."""
    result = wrk(url, REQUESTS, seconds, connections, arguments=[requests])
    if result["bad"] or result["errors"]:
        raise SystemExit(f"{result['bad']} requests were refused; {result['errors']}")
    return result


def send(port, requests):
    """One connection, one request after the other; how many were taken."""
    taken = 0
    with socket.create_connection(("127.0.0.1", port)) as s:
        answers = s.makefile("rb")
        for text in requests:
            s.sendall(text.encode())
            taken += answers.readline().startswith(b"HTTP/1.1 200")
            size = 0
            while (line := answers.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            answers.read(size)
    return taken
