"""Prefill, decoding and the papers' search by two revisions of kvshare, in turns: whether a change made them slower.

    python bench/speed-revisions.py REVISION MODEL [COMMAND]

REVISION is a commit of this repository, measured beside what is checked out; COMMAND is what it called `kvshare measure`.
Prints medians of BENCH_ROUNDS (default 5) rounds and their ratio, in float32 without sharing: a prompt of 2,048 tokens,
decoding behind 512, batch 1, and the search for 8 layers above 0.5. Needs what kvshare needs, and Python.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lib"))
import bench

PROMPT, CONTEXT, NEW = 2048, 512, 64


def compare(title, before, after, tokens, *words):
    seconds = bench.alternate(lambda: before.seconds(*words), lambda: after.seconds(*words))
    was, now = (f"{tokens / s:.1f} tokens/s" if tokens else f"{s:.2f} s" for s in seconds)
    print(f"| {title} | {was} | {now} | {seconds[0] / seconds[1]:.3f} |", flush=True)


def main(revision, model, command="measure"):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "before"
        subprocess.run(["git", "-C", bench.ROOT, "worktree", "add", "--quiet", "--detach", home, revision], check=True)
        try:
            for each in (home, bench.ROOT):
                subprocess.run([each / "kvshare", "--version"], check=True, stdout=sys.stderr)
            model = Path(model).resolve()
            old = bench.kvshare(model_path=model, home=home, command=command)
            with old as before, bench.kvshare(model_path=model) as after:
                print("| | before | after | times as fast |\n|---|---|---|---|")
                compare(f"prefill, {PROMPT:,} tokens", before, after, PROMPT, "prefill", 1, PROMPT, 1, 0)
                for each in (before, after):
                    each.ask("prefill", 1, CONTEXT, NEW, 0)
                compare(f"decoding behind {CONTEXT} tokens", before, after, NEW, "decode", NEW)
                compare("search, 8 layers above 0.5", before, after, 0, "search", 8, 0.5, bench.samples())
        finally:
            subprocess.run(["git", "-C", bench.ROOT, "worktree", "remove", "--force", home], check=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
