"""The whole `kvshare calibrate` of the built-in model: process time, JVM start included."""

import resource
import statistics
import subprocess
import tempfile

import bench

seconds, processor = [], []
with tempfile.TemporaryDirectory() as folder:
    command = [bench.ROOT / "kvshare", "calibrate", "--quiet", "--force", "--out", f"{folder}/policy.json"]
    for _ in range(bench.ROUNDS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(bench.timed(command))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
wall = statistics.median(seconds[1:])
bench.report("calibrate", [bench.row(
    "calibrate, built-in model", f"{wall:.1f} s", "15 s", wall < 15,
    f"{statistics.median(processor[1:]):.1f} s of processor time")])
