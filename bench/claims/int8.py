"""int8 weights against the own float32: decoding, perplexity; beside llama.cpp with Q8_0 where it can be had."""

import importlib.util
import json
import subprocess
import sys

import bench

NEW = 64


def llama():
    """llama.cpp with the same model as Q8_0, None where its package is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    file = bench.RESULTS / "q8_0.gguf"
    if not file.exists():
        bench.RESULTS.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, bench.BENCH / "lib/to_q8_0.py", bench.model(), file], check=True)
    return bench.System("llama.cpp", [sys.executable, bench.BENCH / "lib/llama.py", file, bench.THREADS])


def perplexity(weights):
    out = subprocess.run(
        [bench.ROOT / "kvshare", "eval", "--quiet", "--model", bench.model(), "--weights", weights, "--json", "-",
         "--no-speed"], check=True, capture_output=True, text=True, cwd=bench.ROOT).stdout
    return json.loads(out)["rows"][0]["perplexity"]


with bench.kvshare() as full, bench.kvshare("--weights", "int8") as int8:
    for system in (full, int8):
        system.ask("prefill", 1, 512, 128, 0)
    before, after = bench.alternate(lambda: full.seconds("decode", NEW), lambda: int8.seconds("decode", NEW))
rows = [bench.ratio("int8 weights, decode", before, after, 3, "{:.1f} ms a step against {:.1f}", 1000 / NEW)]
peer = llama()
if peer is None:
    rows.append(bench.row("int8 weights against llama.cpp's Q8_0", "-", "-", False, "pip install xllamacpp"))
else:
    with peer, bench.kvshare("--weights", "int8") as int8:
        for system in (peer, int8):
            system.ask("prefill", 1, 512, 128, 0)
        theirs, ours = bench.alternate(lambda: peer.seconds("decode", NEW), lambda: int8.seconds("decode", NEW))
    rows.append(bench.ratio(
        "int8 weights against llama.cpp's Q8_0", theirs, ours, 1, "{:.1f} ms a step against {:.1f}", 1000 / NEW))
exact, rounded = perplexity("full"), perplexity("int8")
rows.append(bench.row(
    "int8 weights, perplexity", f"{rounded / exact - 1:+.2%}", "within 1 %", abs(rounded / exact - 1) < 0.01,
    f"{rounded:.3f} against {exact:.3f}"))
bench.report("int8", rows)
