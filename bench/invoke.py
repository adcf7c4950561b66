#!/usr/bin/env python3
"""Invocations per second and their latencies: through us with signatures checked, beside nginx and haproxy without any.

    bench/invoke.py [--seconds 3] [--connections 64]

All stand in front of the same container, the one of our endpoint, and get the same bytes: the signed request, which
only we look at. Each proxy has one worker and keeps its connections on both sides. The container answers the body that
it got.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess

import common
import container
from common import Server, cpu_seconds, free_port, need, reachable, show, wait_for
from load import REQUESTS, file_of, raw, replay, signed, wrk

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


@contextlib.contextmanager
def proxy(folder, name, text, command, upstream):
    """Its port and the process that works, for as long as it is needed."""
    port = free_port()
    config = folder / f"{name}.conf"
    config.write_text(text.replace("FOLDER", str(folder)).replace("PORT", str(port)).replace("UPSTREAM", upstream))
    child = subprocess.Popen([*command, config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: child.poll() is not None or reachable(port), 10, name)
        assert child.poll() is None, f"{name} ended"
        yield port, worker_of(child.pid)
    finally:
        child.terminate()
        child.wait()


def worker_of(pid):
    """nginx works in a child of its first process."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def deploy(server, image):
    """Where the endpoint's container listens. The server ends it when it is stopped."""
    sagemaker = server.client("sagemaker")
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=server.role, PrimaryContainer={"Image": image})
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[{
        "VariantName": "all", "ModelName": "bench", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName="bench")["EndpointStatus"] == "InService", 60,
             "the endpoint", 0.1)
    instance = json.loads((server.data / "route.json").read_text())["endpoints"][0]["variants"][0]["instances"][0]
    return f"{instance['address']}:{instance['port']}"


def measure(port, requests, options, pid):
    url = f"http://127.0.0.1:{port}"
    wrk(url, REQUESTS, 1, options.connections, arguments=[requests])
    before = cpu_seconds(pid)
    result = replay(url, requests, options.seconds, options.connections)
    result["cpu_us"] = (cpu_seconds(pid) - before) / (result["rate"] * options.seconds) * 1e6
    return result


def in_turns(ports, requests, options):
    """Each in turn, three times, so that a machine that slows down slows all; the median of each."""
    rounds = [{name: measure(port, requests, options, pid) for name, (port, pid) in ports.items()} for _ in range(3)]
    return {name: sorted((r[name] for r in rounds), key=lambda result: result["rate"])[1] for name in ports}


def compare(server, peers, size, target, options):
    body = (b"0.5," * (size // 4 + 1))[:size]
    url = f"{server.url}/endpoints/bench/invocations"
    requests = file_of([raw("POST", url, signed(server, "sagemaker", "POST", url, {"Content-Type": "text/csv"}, body),
                            body)])
    results = in_turns({"ours": (server.port, server.pid("serve")), **peers}, requests, options)
    os.unlink(requests)
    ours = results.pop("ours")
    for name, theirs in results.items():
        show(f"InvokeEndpoint {size} B, signed", ours["rate"], theirs["rate"], "/s", name,
             target if name == "nginx" else None)
        print(f"  p50/p99 ms: ours {ours['ms']['50']:.2f}/{ours['ms']['99']:.2f}, {name} "
              f"{theirs['ms']['50']:.2f}/{theirs['ms']['99']:.2f}; CPU us a request: ours {ours['cpu_us']:.1f}, "
              f"{name} {theirs['cpu_us']:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    nginx, haproxy = need("nginx", "nginx-light"), need("haproxy", "haproxy")
    with common.folder() as folder, Server() as server:
        upstream = deploy(server, container.archive(folder, server.data))
        with proxy(folder, "nginx", NGINX, [nginx, "-c"], upstream) as one, \
                proxy(folder, "haproxy", HAPROXY, [haproxy, "-f"], upstream) as two:
            for size, target in ((100, 1.0), (10240, 0.9)):
                compare(server, {"nginx": one, "haproxy": two}, size, target, options)


if __name__ == "__main__":
    main()
