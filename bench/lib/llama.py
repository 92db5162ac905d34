"""llama.cpp as a side of the benchmarks (by the package xllamacpp): llama.py MODEL.gguf THREADS, then lines of standard
input as for peer.py, of which it knows `prefill` (batch 1) and `decode`. The times are llama.cpp's own."""

import json
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 1024
params.n_parallel = 1
params.cpuparams.n_threads = int(sys.argv[2])
params.cpuparams_batch.n_threads = int(sys.argv[2])
server = xllamacpp.Server(params)
print(json.dumps({"load_seconds": 0}), flush=True)
prompt = []
for line in sys.stdin:
    words = line.split()
    new = 1
    if words[0] == "prefill":
        prompt = [(7919 * t + 13) % 49152 for t in range(int(words[2]))]
    else:
        new = int(words[1])
    answer = server.handle_completions({
        "prompt": prompt, "n_predict": new, "cache_prompt": True, "temperature": 0, "ignore_eos": True})
    answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
    timings = answer["timings"]
    part = "prompt_ms" if words[0] == "prefill" else "predicted_ms"
    print(json.dumps({"seconds": timings[part] / 1000, "tokens": timings["predicted_n"]}), flush=True)
