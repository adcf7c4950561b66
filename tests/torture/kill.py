#!/usr/bin/env python3
"""Kills processes of ours, one at a time and in pairs, at random moments of real jobs and endpoints, and then looks.

    tests/torture/kill.py [--jobs 200] [--endpoints 0.3] [--seed N] [--at-once 6] [--speed 1]

What must hold: what was answered is there; every job ends as it should, and its command ran once; an endpoint answers
with the right model or, for a while, not at all; a container goes on serving when its agent dies; nothing is left
behind - no process, container, mount, cgroup, network, nft table, folder. A job whose container's own first process was
killed may end as Failed, with that reason; no other may. Prints one line a finding, and exits 1 if there was any.
"""
import argparse
import collections
import sys
import threading
import time

from endpoints import Endpoint, train_models
from killer import Killer
from training import Job
from world import World


def work(world, stories):
    """Some stories, one after the other; one that breaks does not end the others."""
    for story in stories:
        try:
            story.run()
        except Exception as e:
            world.find(f"{story.name} ({story.kind}): {type(e).__name__}: {e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200, help="jobs and endpoints together")
    parser.add_argument("--endpoints", type=float, default=0.3, help="how many of them are endpoints")
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than a kill each 1.1 s")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    began = time.monotonic()
    world = World(options.seed)
    world.start()
    train_models(world)
    dice = world.dice("stories")
    stories = [(Endpoint if dice.random() < options.endpoints else Job)(world, n) for n in range(options.jobs)]
    killer = Killer(world, options.speed)
    threads = [threading.Thread(target=work, daemon=True, args=(world, stories[i::options.at_once]))
               for i in range(options.at_once)]
    for t in threads + [killer]:
        t.start()
    for t in threads:
        t.join()
    world.over.set()
    killer.join()
    tell(world, killer, stories, time.monotonic() - began)
    status = world.end(lambda: [s.check_again() for s in stories])
    print(f"seed {options.seed}: {len(world.findings)} findings, {time.monotonic() - began:.0f} s", flush=True)
    return status


def tell(world, killer, stories, seconds):
    kinds = collections.Counter(f"{type(s).__name__.lower()} {s.kind}" for s in stories)
    asked = sum((s.counts for s in stories if isinstance(s, Endpoint)), collections.Counter())
    asked["longest silence, s"] = max((s.counts["longest silence, s"] for s in stories if isinstance(s, Endpoint)),
                                      default=0)
    print(f"{seconds:.0f} s, {dict(kinds)}")
    print(f"kills: {sum(killer.kills.values())} {dict(killer.kills)}; in pairs: {sum(killer.pairs.values())} "
          f"{dict(killer.pairs)}")
    print(f"invocations: {dict(asked)}; containers that answered right after their agent was killed: "
          f"{killer.served['served']}")
    print(f"calls tried again: {dict(world.unanswered)}; containers lost: {len(world.wounds)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
