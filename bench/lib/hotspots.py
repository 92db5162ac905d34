"""Where the time of a decoding step and of a prompt goes: operators by the time they take themselves.

Called by bench/profile. The engine's profiler itself costs time for every operator: read the shares, not the sums.
"""

import collections
import json
import sys
import tempfile
from pathlib import Path

import bench


def self_times(file):
    """Microseconds that each operator took without the operators it called, and how often it ran."""
    events = [e for e in json.loads(Path(file).read_text()) if e.get("ph") == "X"]
    total, count = collections.Counter(), collections.Counter()
    by_thread = collections.defaultdict(list)
    for event in events:
        by_thread[event["tid"]].append((event["ts"], -event["dur"], event["dur"], event["name"]))
    for calls in by_thread.values():
        stack = []  # ends and names of the operators around
        for start, _, duration, name in sorted(calls):
            while stack and stack[-1][0] <= start:
                stack.pop()
            if stack:
                total[stack[-1][1]] -= duration
            total[name] += duration
            count[name] += 1
            stack.append((start + duration, name))
    return total, count


def show(title, system, work, turns):
    work()  # a first turn is not counted
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        system.ask("profile", "start")
        for _ in range(turns):
            work()
        system.ask("profile", file)
        total, count = self_times(file)
    everything = sum(total.values())
    print(f"\n{title}\n\n| operator | share | calls |\n|---|---|---|")
    for name, time in total.most_common(10):
        print(f"| `{name}` | {time / everything:.1%} | {count[name] // turns} |")


with bench.kvshare(*sys.argv[1:]) as system:
    system.ask("prefill", 1, 512, 16, 0)
    show("a decoding step behind 512 tokens", system, lambda: system.ask("decode", 1), 16)
    show("a prompt of 2,048 tokens", system, lambda: system.ask("prefill", 1, 2048, 1, 0), 1)
