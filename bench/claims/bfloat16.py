"""bfloat16 weights against float32, on a CPU with the instructions."""

import bench

with open("/proc/cpuinfo") as cpu:
    able = "avx512_bf16" in cpu.read()
with bench.kvshare() as wide, bench.kvshare("--dtype", "bfloat16") as narrow:
    for system in (wide, narrow):
        system.ask("prefill", 1, 512, 128, 0)
    decode = bench.alternate(lambda: wide.seconds("decode", 64), lambda: narrow.seconds("decode", 64))
    prefill = bench.alternate(
        lambda: wide.seconds("prefill", 1, 2048, 1, 0), lambda: narrow.seconds("prefill", 1, 2048, 1, 0))
note = "" if able else ", a CPU without the instructions"
bench.report("bfloat16", [
    bench.ratio("bfloat16, decode", *decode, 1.4, "{:.1f} ms a step against {:.1f}" + note, 1000 / 64),
    bench.ratio("bfloat16, prefill of 2,048 tokens", *prefill, 1.8, "{:.2f} s against {:.2f} s" + note)])
