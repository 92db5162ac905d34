"""KV memory under a policy: the bytes predicted, the bytes allocated, and the peak of the process."""

import bench

BATCH, TOKENS, TOP = 16, 1024, 18


def run(top):
    with bench.kvshare() as own:
        return own.ask("prefill", BATCH, TOKENS, 0, top)


unshared, shared = run(0), run(TOP)
rows = []
for name, seen in (("unshared", unshared), (f"{TOP} of 30 layers share", shared)):
    rows.append(bench.row(
        f"KV bytes, {name}", f"{seen['cache_bytes']:,}", f"{seen['predicted_bytes']:,}",
        seen["cache_bytes"] == seen["predicted_bytes"], f"batch {BATCH}, {TOKENS:,} tokens"))
saved = unshared["cache_bytes"] - shared["cache_bytes"]
fallen = unshared["peak_resident_bytes"] - shared["peak_resident_bytes"]
rows.append(bench.row(
    "fall of the peak memory", f"{fallen / 1e6:.0f} MB", f"{saved / 1e6:.0f} MB, within 10 %",
    fallen >= 0.9 * saved,
    f"{shared['peak_resident_bytes'] / 1e6:.0f} MB against {unshared['peak_resident_bytes'] / 1e6:.0f} MB"))
bench.report("memory", rows)
