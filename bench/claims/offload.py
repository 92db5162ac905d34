"""A checkpoint of 6 GB calibrated within 3 GB of memory, and the policy compared with that of a run without a limit.

The limit is set by the operating system (`lib/limits.py`). `--in-memory` also runs the search with all weights in memory,
which takes 13 GB; `--gigabytes N` takes a checkpoint of another size.
"""

import argparse
import tempfile
import time
from pathlib import Path

import bench
import limits
import random_checkpoint

parser = argparse.ArgumentParser()
parser.add_argument("--gigabytes", type=float, default=6)
parser.add_argument("--in-memory", action="store_true")
arguments = parser.parse_args()
LIMIT = arguments.gigabytes / 2 * 1e9
SEARCH = [
    "--method", "kvsharer", "--share-layers", 4, "--threshold", 0.9, "--samples", 4, "--tokens", 64,
    "--batch-memory", "512MiB", "--no-report", "--quiet"]


def calibrate(model, files, out, limit, *options):
    """Seconds, and the most bytes resident at once."""
    random_checkpoint.forget(files)
    start = time.perf_counter()
    _, resident = limits.run(
        [bench.ROOT / "kvshare", "calibrate", "--model", model, "--threads", bench.THREADS, "--out", out, *SEARCH, *options],
        limit)
    return time.perf_counter() - start, resident


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    model = folder / "model"
    model.mkdir()
    files = random_checkpoint.write(model, arguments.gigabytes * 1e9)
    size = sum(file.stat().st_size for file in files)
    limit = limits.of(int(LIMIT))
    runs = {
        "with the limit": calibrate(model, files, folder / "with the limit.json", limit, "--offload"),
        "without it": calibrate(model, files, folder / "without it.json", limits.Unlimited(), "--offload"),
    }
    if arguments.in_memory:
        runs["in memory"] = calibrate(model, files, folder / "in memory.json", limits.Unlimited())
    policies = {name: (folder / f"{name}.json").read_bytes() for name in runs}
    seconds, resident = runs["with the limit"]
    rows = [bench.row(
        f"calibrate {size / 1e9:.1f} GB within {LIMIT / 1e9:.1f} GB", f"{resident / 1e9:.2f} GB", f"{LIMIT / 1e9:.1f} GB",
        resident <= LIMIT, f"peak resident; limit by {limit.name}; {seconds:.0f} s")]
    for name, (seconds, resident) in list(runs.items())[1:]:
        same = policies[name] == policies["with the limit"]
        rows.append(bench.row(
            f"the same policy {name}", "equal bytes" if same else "different", "equal bytes", same,
            f"peak resident {resident / 1e9:.2f} GB; {seconds:.0f} s"))
bench.report("offload", rows)
