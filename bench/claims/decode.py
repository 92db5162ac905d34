"""Decoding against transformers' `generate`, batch 1 and 16, float32; and the share of the bandwidth limit."""

import bench

with bench.transformers() as peer, bench.kvshare() as own:
    rows = []
    for batch, prompt, new in ((1, 512, 128), (16, 1024, 16)):
        for system in (peer, own):
            system.ask("prefill", batch, prompt, 256, 0)
        theirs, ours = bench.alternate(lambda: peer.seconds("decode", new), lambda: own.seconds("decode", new))
        rows.append(bench.ratio(
            f"decode, batch {batch}, {prompt:,} tokens", theirs, ours, 1.5, "{:.1f} ms a step against {:.1f}",
            1000 / new))
        if batch == 1:
            single = ours / new
    limit = max(peer.ask("matvec")["gigabytes_per_second"] for _ in range(bench.ROUNDS))
    # float32 weights that every step reads: all layers and the head
    read = 30 * (960 * 576 + 576 * 576 + 3 * 1536 * 576) * 4 + 49152 * 576 * 4
    reached = read / single / 1e9
    rows.append(bench.row(
        "share of the bandwidth limit, decode, batch 1", f"{reached / limit:.0%}", "60%", reached / limit >= 0.6,
        f"{reached:.1f} GB/s against {limit:.1f} GB/s of torch.mv"))
bench.report("decode", rows)
