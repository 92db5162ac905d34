"""The greedy search against the papers' procedure: wall time, layer evaluations, the map.

The procedure takes minutes a search, so it is timed on a part of its forwards in each round and extrapolated by their
number, which the search itself tells (30 to rank, two a sample and test); `--whole` runs all of it once instead.
"""

import statistics
import sys

import bench

PART = 20

with bench.transformers() as peer, bench.kvshare() as own:
    file = bench.samples()
    rows = []
    for share, threshold in ((8, 0.5), (12, 0.5), (5, 0.9)):
        found = own.ask("search", share, threshold, file)
        forwards = 30 + 2 * 30 * found["tests"]
        if "--whole" in sys.argv:
            whole = peer.ask("search", share, threshold, file)
            assert whole["kv_source"] == found["kv_source"], (whole, found)
            assert whole["forwards"] == forwards, (whole, forwards)
            theirs, ours = whole["seconds"], own.seconds("search", share, threshold, file)
        else:
            part, ours = bench.alternate(
                lambda: peer.seconds("forwards", PART, file), lambda: own.seconds("search", share, threshold, file))
            theirs = part / PART * forwards
        name = f"search, {share} layers above {threshold}"
        rows.append(bench.ratio(
            f"{name}, time", theirs, ours, 15, "{:.1f} s against {:.0f} s for " + f"{forwards:,} forwards"))
        times = found["reference_evaluations"] / found["evaluations"]
        rows.append(bench.row(
            f"{name}, layer evaluations", f"{times:.1f}x", "30x", times >= 30,
            f"{found['evaluations']:,} against {found['reference_evaluations']:,}"))
bench.report("search", rows)
