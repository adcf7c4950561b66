"""When instances were there, by the kernel's word: who holds the locks of their agent and of their container. Nothing
of this comes from what the agent or the server writes down, so what they write can be measured by it."""
import threading
import time

PACE_S = 0.05


class Span:
    """Something was there from 'begin' to 'end', in wall ms: from the last look that did not see it to the first one
    that no longer did, so never too short, however late a look comes."""

    def __init__(self, at_ms=0):
        self.begin = self.end = at_ms
        self.there = False

    def look(self, there, before_ms, now_ms):
        if there and not self.begin:
            self.begin = before_ms
        if there or self.there:
            self.end = now_ms
        self.there = there

    def ms(self):
        return self.end - self.begin


class Sight:
    """Of one instance: it is alive while its agent or its container is."""

    def __init__(self):
        self.alive, self.container = Span(), Span()


class Watch(threading.Thread):
    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.sights = world, {}  # name of an agent -> its Sight

    def run(self):
        before_ms, over = time.time_ns() // 1_000_000, False
        while not over:
            over = self.world.over.wait(PACE_S)  # and one last look
            look_ms = time.time_ns() // 1_000_000
            there = {i.name: i for i in self.world.instances()}
            for name in there.keys() | self.sights.keys():
                self.look(self.sights.setdefault(name, Sight()), there.get(name), before_ms)
            before_ms = look_ms

    @staticmethod
    def look(sight, instance, before_ms):
        if not instance and not sight.alive.there:
            return
        container = bool(instance and instance.init())
        alive = container or bool(instance and (instance.agent() or began_ms(instance) >= before_ms))
        now_ms = time.time_ns() // 1_000_000
        sight.container.look(container, before_ms, now_ms)
        sight.alive.look(alive, before_ms, now_ms)


def began_ms(instance):
    """When its last agent began, which may have ended since: the time of the file that it locks, and writes first."""
    try:
        return (instance.folder / "agent.pid").stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0
