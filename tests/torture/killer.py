"""Kills processes of ours, one at a time and in pairs, by pidfd: what was chosen is what dies."""
import collections
import os
import pathlib
import signal
import threading
import time
import urllib.request

PACE_S = (0.2, 2.0)
# A container's own process 1 is ours too, but a job does not survive its death: it must only be told.
WEIGHTS = {"supervisor": 1, "sagebrushd": 1, "sagebrush-serve": 1, "agent": 1.5, "init": 0.3}


class Killer(threading.Thread):
    def __init__(self, world, speed):
        super().__init__(daemon=True)
        self.world, self.speed, self.dice = world, speed, world.dice("killer")
        self.kills, self.pairs, self.served = (collections.Counter() for _ in range(3))

    def run(self):
        while not self.world.over.wait(self.dice.uniform(*PACE_S) / self.speed):
            victims = self.victims()
            chosen = []
            for _ in range(self.dice.choice([1, 1, 2])):
                roles = sorted({role for role, _, _ in victims})
                if not roles:
                    break
                role = self.dice.choices(roles, [WEIGHTS[r] for r in roles])[0]
                one = self.dice.choice([v for v in victims if v[0] == role])
                victims.remove(one)
                chosen.append(one)
            killed = [role for role, pid, instance in chosen if self.kill(role, pid, instance)]
            if len(killed) == 2:
                self.pairs[" + ".join(sorted(killed))] += 1

    def victims(self):
        """[(role, pid, instance or None)]"""
        there = self.world.instances()
        found = [(role, pid, None) for pid, role, _ in self.world.processes() if role != "agent"]
        found += [("agent", i.agent(), i) for i in there] + [("init", i.init(), i) for i in there]
        return [v for v in found if v[1]]

    def still(self, role, pid, instance):
        if instance:
            return (instance.agent() if role == "agent" else instance.init()) == pid
        return str(self.world.server.data).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()

    def kill(self, role, pid, instance):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if not self.still(role, pid, instance):
                return False
            if role == "init":
                self.world.wounds[instance.owner] = time.monotonic()
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            return False
        finally:
            os.close(fd)
        self.kills[role] += 1
        if role == "agent" and instance.serves:
            self.look_at_orphan(instance)
        return True

    def look_at_orphan(self, instance):
        """Its agent was killed this moment: the container goes on serving."""
        report, init = instance.report(), instance.init()
        if not report.get("healthy") or not init or instance.ends():
            return
        try:
            urllib.request.urlopen(f"http://{report['address']}:{report['port']}/ping", timeout=30).close()
            self.served["served"] += 1
        except OSError as e:
            if instance.init() == init and not instance.ends():
                self.world.find(f"{instance.owner}: its agent was killed, and its container answers {e}")
