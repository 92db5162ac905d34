"""Decoding throughput at a fixed KV budget: as the cache of a sequence shrinks, the batch grows."""

import bench

LAYERS, CONTEXT, NEW, BUDGET = 30, 1024, 16, 5  # the budget holds so many unshared sequences

with bench.kvshare() as unshared, bench.kvshare() as shared:
    unshared.ask("prefill", BUDGET, CONTEXT, 32, 0)
    rows = []
    for top, target in ((9, 1.3), (18, 2.0)):
        batch = BUDGET * LAYERS // (LAYERS - top)
        shared.ask("prefill", batch, CONTEXT, 32, top)
        before, after = bench.alternate(lambda: unshared.seconds("decode", NEW), lambda: shared.seconds("decode", NEW))
        was, now = BUDGET * NEW / before, batch * NEW / after
        rows.append(bench.row(
            f"throughput at a fixed KV budget, {top / LAYERS:.0%} shared", f"{now / was:.2f}x", f"{target}x",
            now / was >= target, f"{now:.0f} tokens/s of {batch} sequences against {was:.0f} of {BUDGET}"))
bench.report("budget", rows)
