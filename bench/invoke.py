#!/usr/bin/env python3
"""Invocations per second and their latencies: through us with signatures checked, beside nginx and haproxy without any.

    bench/invoke.py [--seconds 3] [--connections 64]

All stand in front of the same container, the one of our endpoint, and get the same bytes: the signed request, which only we
look at. Each proxy has one worker and keeps its connections on both sides. The container answers the body that it got.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import container
from common import ROOT, Server, free_port, need, show, signed, wait_for, wrk
from control_plane import file_of, raw, reachable

NGINX = """
worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log FOLDER/nginx.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u;
  scgi_temp_path FOLDER/s;
  upstream container { server UPSTREAM; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:PORT backlog=1024;
    location / { proxy_pass http://container; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
"""

HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend all
  bind 127.0.0.1:PORT
  default_backend container
backend container
  server one UPSTREAM
"""


def proxy(folder, name, text, command, upstream):
    port = free_port()
    config = pathlib.Path(folder) / f"{name}.conf"
    config.write_text(text.replace("FOLDER", str(folder)).replace("PORT", str(port)).replace("UPSTREAM", upstream))
    child = subprocess.Popen([*command, config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: child.poll() is not None or reachable(port), 10, name)
    assert child.poll() is None, f"{name} ended"
    return child, port


def worker_of(pid):
    """nginx works in a child of its first process."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def deploy(server, image):
    import boto3

    os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
    sagemaker = boto3.client("sagemaker")
    role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=role, PrimaryContainer={"Image": image})
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[{
        "VariantName": "all", "ModelName": "bench", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName="bench")["EndpointStatus"] == "InService", 60, "the endpoint", 0.1)
    instance = json.loads((server.data / "route.json").read_text())["endpoints"][0]["variants"][0]["instances"][0]
    return f"{instance['address']}:{instance['port']}"


def withdraw(server):
    """No container outlives the benchmark."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    sagemaker = boto3.client("sagemaker")
    try:
        sagemaker.delete_endpoint(EndpointName="bench")
        wait_for(lambda: not sagemaker.list_endpoints()["Endpoints"], 150, "the end of the endpoint", 0.1)
    except (BotoCoreError, ClientError) as e:
        print(f"the endpoint is still there: {e}")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(port, requests, options, pid=None):
    url, script = f"http://127.0.0.1:{port}", ROOT / "bench" / "requests.lua"
    wrk(url, script, 1, options.connections, arguments=[requests])
    before = cpu_seconds(pid) if pid else 0
    result = wrk(url, script, options.seconds, options.connections, arguments=[requests])
    if result["bad"] or result["errors"]:
        raise SystemExit(f"{result['bad']} requests were refused; {result['errors']}")
    result["cpu_us"] = (cpu_seconds(pid) - before) / (result["rate"] * options.seconds) * 1e6 if pid else 0
    return result


def in_turns(ports, requests, options):
    """Each in turn, three times, so that a machine that slows down slows all; the median of each."""
    rounds = [{name: measure(port, requests, options, pid) for name, (port, pid) in ports.items()} for _ in range(3)]
    return {name: sorted((r[name] for r in rounds), key=lambda result: result["rate"])[1] for name in ports}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    nginx, haproxy = need("nginx", "nginx-light"), need("haproxy", "haproxy")
    folder = tempfile.mkdtemp(prefix="sagebrush-bench-")
    os.chmod(folder, 0o755)
    server, children = Server(), []
    try:
        server.start()
        upstream = deploy(server, container.archive(folder, server.data))
        peers = {}
        for name, text, command in [("nginx", NGINX, [nginx, "-c"]), ("haproxy", HAPROXY, [haproxy, "-f"])]:
            child, port = proxy(folder, name, text, command, upstream)
            children.append(child)
            peers[name] = (port, worker_of(child.pid))
        for size, target in ((100, 1.0), (10240, 0.9)):
            body = (b"0.5," * (size // 4 + 1))[:size]
            url = f"http://127.0.0.1:{server.port}/endpoints/bench/invocations"
            headers = signed(server, "sagemaker", "POST", url, {"Content-Type": "text/csv"}, body)
            request = raw("POST", url, headers, body).replace("POST / ", "POST /endpoints/bench/invocations ", 1)
            requests = file_of([request])
            results = in_turns({"ours": (server.port, server.pid("serve")), **peers}, requests, options)
            ours = results.pop("ours")
            for name, theirs in results.items():
                show(f"InvokeEndpoint {size} B, signed", ours["rate"], theirs["rate"], "/s", name,
                     target if name == "nginx" else None)
                print(f"  p50/p99 ms: ours {ours['ms']['50']:.2f}/{ours['ms']['99']:.2f}, {name} "
                      f"{theirs['ms']['50']:.2f}/{theirs['ms']['99']:.2f}; CPU us a request: ours {ours['cpu_us']:.1f}, "
                      f"{name} {theirs['cpu_us']:.1f}", flush=True)
            os.unlink(requests)
    finally:
        for child in children:
            child.terminate()
            child.wait()
        withdraw(server)
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
