"""What an instance of two sees of its network: its interfaces, whether there is an outside, and the other instance."""
import fcntl
import json
import socket
import struct
import time

SIOCGIFADDR, SIOCGIFMTU = 0x8915, 0x8921


def ask(interface, what):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, what, struct.pack("16s24x", interface.encode()))[16:]


def talk(me, size=1 << 20):
    if me == "algo-2":
        with socket.create_server(("", 7777)) as server:
            print("heard", len(server.accept()[0].makefile("rb").read()))
        return
    for _ in range(600):
        try:
            c = socket.create_connection(("algo-2", 7777), 5)
        except OSError:  # not there yet
            time.sleep(0.05)
            continue
        with c:
            c.settimeout(None)
            return c.sendall(bytes(size))


with open("/opt/ml/config/resourceconfig.json") as config:
    resources = json.load(config)
print(resources["network_interface_name"], sorted(name for _, name in socket.if_nameindex()),
      socket.inet_ntoa(ask("eth0", SIOCGIFADDR)[4:8]), struct.unpack("i", ask("eth0", SIOCGIFMTU)[:4])[0])
try:
    socket.create_connection(("192.0.2.9", 9), 0.5)
except OSError as e:
    print("outside:", e.errno)
talk(resources["current_host"])
