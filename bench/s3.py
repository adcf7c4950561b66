#!/usr/bin/env python3
"""S3 PUT and GET in MB/s, objects of 64 MB and of 4 KB, beside a file copy that computes the same checksums.

    bench/s3.py [--objects 8] [--seconds 5]

Each PUT is signed over its body (SHA-256), states a CRC32, and is on disk when it is answered; the copy reads a file
from memory, computes SHA-256 and CRC32 (OpenSSL's and zlib's, in place, through Python), writes it and fsyncs it. Large
objects go one after the other over one connection; small ones over 16 connections, while the copy does one after the
other.
"""
import argparse
import base64
import hashlib
import os
import pathlib
import socket
import tempfile
import time
import zlib

from common import Server, show
from load import file_of, raw, replay, signed

LARGE, SMALL, NAMES = 64 << 20, 4096, 256


def request(server, method, key, body=b""):
    """The head of a request whose body is sent behind it."""
    url = f"{server.url}/bench/{key}"
    headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    if method == "PUT":
        headers["x-amz-checksum-crc32"] = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    return raw(method, url, {**headers, **signed(server, "s3", method, url, headers, body)}, b"", len(body))


def answer(connection, into):
    """Reads one answer; the bytes of its body stay in 'into'."""
    size = connection.recv_into(into)
    while b"\r\n\r\n" not in bytes(into[:min(size, 8192)]):
        size += connection.recv_into(memoryview(into)[size:])
    head, _ = bytes(into[:8192]).split(b"\r\n\r\n", 1)
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise SystemExit(bytes(into[:size]).decode(errors="replace"))
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    whole = len(head) + 4 + length
    while size < whole:
        size += connection.recv_into(memoryview(into)[size:])


def large(server, objects):
    body, room = os.urandom(LARGE), bytearray(LARGE + 65536)
    puts = [request(server, "PUT", f"large-{i}", body).encode() for i in range(objects)]
    gets = [request(server, "GET", f"large-{i}").encode() for i in range(objects)]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        def one(head, data=b""):
            connection.sendall(head)
            connection.sendall(data)
            answer(connection, room)

        one(puts[0], body)
        began = time.monotonic()
        for head in puts:
            one(head, body)
        put = objects * LARGE / 1e6 / (time.monotonic() - began)
        began = time.monotonic()
        for head in gets:
            one(head)
        get = objects * LARGE / 1e6 / (time.monotonic() - began)
    return put, get


def small(server, seconds):
    body = b"x" * SMALL
    puts = file_of([request(server, "PUT", f"small-{i}", body) + body.decode() for i in range(NAMES)])
    gets = file_of([request(server, "GET", f"small-{i}") for i in range(NAMES)])
    rates = [replay(server.url, requests, seconds, 16)["rate"] for requests in (puts, gets)]
    for requests in (puts, gets):
        os.unlink(requests)
    return rates


def copies(folder, size, seconds):
    """MB/s of copying one file of that size again and again."""
    source, data = folder / "source", os.urandom(size)
    source.write_bytes(data)
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        with open(source, "rb") as f, open(folder / f"copy-{count % 8}", "wb") as out:
            sha, crc = hashlib.sha256(), 0
            while piece := f.read(1 << 20):
                sha.update(piece)
                crc = zlib.crc32(piece, crc)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        count += 1
    return count * size / 1e6 / (time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with Server(runtime="sim") as server, tempfile.TemporaryDirectory(dir=server.data) as folder:  # the same disk
        put, get = large(server, options.objects)
        copy = copies(pathlib.Path(folder), LARGE, options.seconds)
        show("PUT 64 MB", put, copy, "MB/s", "copy")
        show("GET 64 MB", get, copy, "MB/s", "copy")
        put, get = small(server, int(options.seconds) or 1)
        copy = copies(pathlib.Path(folder), SMALL, options.seconds)
        show("PUT 4 KB", put * SMALL / 1e6, copy, "MB/s", "copy")
        show("GET 4 KB", get * SMALL / 1e6, copy, "MB/s", "copy")
        print(f"  4 KB objects a second: PUT {put:,.0f}, GET {get:,.0f}, copies {copy * 1e6 / SMALL:,.0f}")


if __name__ == "__main__":
    main()
