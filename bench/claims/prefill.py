"""Prefill of 2,048 tokens: unshared against transformers, and with shared top layers against itself."""

import bench

LAYERS, TOKENS = 30, 2048

with bench.transformers() as peer, bench.kvshare() as own:
    theirs, ours = bench.alternate(
        lambda: peer.seconds("prefill", 1, TOKENS, 1, 0), lambda: own.seconds("prefill", 1, TOKENS, 1, 0))
    rows = [bench.ratio(f"prefill, {TOKENS:,} tokens", theirs, ours, 1.2)]
    for top in (10, 20):
        unshared, shared = bench.alternate(
            lambda: own.seconds("prefill", 1, TOKENS, 1, 0), lambda: own.seconds("prefill", 1, TOKENS, 1, top))
        expected = LAYERS / (LAYERS - top)
        times = unshared / shared
        rows.append(bench.row(
            f"prefill, top {top} of {LAYERS} layers share", f"{times:.2f}x", f"{expected:.2f}x, within 10 %",
            times >= 0.9 * expected, f"{shared:.2f} s against {unshared:.2f} s"))
bench.report("prefill", rows)
