"""From the start of the process to the first token, from the same GGUF file."""

import sys

import bench

PROMPT = "Once upon a time"
PEER = """
import os, sys, torch, transformers
torch.set_num_threads(int(sys.argv[2]))
folder, name = os.path.split(sys.argv[1])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
ids = tokenizer(sys.argv[3], return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=1, do_sample=False)[0]))
"""

kvshare = [bench.ROOT / "kvshare", "apply", "--quiet", "--model", bench.model(), "--threads", bench.THREADS,
           "--prompt", PROMPT, "--max-tokens", "1"]
theirs, ours = bench.alternate(
    lambda: bench.timed([sys.executable, "-c", PEER, bench.model(), bench.THREADS, PROMPT]),
    lambda: bench.timed(kvshare))
bench.report("load", [bench.ratio("load of the GGUF file to the first token", theirs, ours, 3)])
