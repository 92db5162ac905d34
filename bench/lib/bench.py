"""What the claims have in common: two systems that take turns, medians, the table, the JSON."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
THREADS = os.environ.get("BENCH_THREADS", str(os.cpu_count()))
MODEL = os.environ.get("BENCH_MODEL", "")
RESULTS = Path(os.environ.get("BENCH_RESULTS", BENCH / "results"))
SAMPLES = ROOT / "apply/src/test/resources/goldens/reference/kvsharer.json"


class System:
    """A process that answers a line with a line of JSON."""

    def __init__(self, name, command, environment=None):
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, **(environment or {})})
        self.loaded = self.answer()

    def answer(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.name} ended with exit code {self.process.wait()}")
            if line.startswith("{"):
                return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def seconds(self, *words):
        return self.ask(*words)["seconds"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def model():
    if not MODEL:
        sys.exit("Set BENCH_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf, or run bench/run-all, which fetches it.")
    return MODEL


def kvshare(*options, model_path=None, home=ROOT, command="measure"):
    path = model_path or model()
    return System(f"kvshare of {home}", [home / "kvshare", command, "--quiet", "--model", path, "--threads", THREADS, *options])


def transformers(*options, model_path=None):
    path = model_path or model()
    return System(
        "transformers",
        [sys.executable, BENCH / "lib/peer.py", "--model", path, "--threads", THREADS, *options],
        {"OMP_NUM_THREADS": THREADS})


def alternate(*measures, rounds=None):
    """Medians of seconds of measures (functions without arguments) that take turns; a first turn is not counted."""
    times = [[] for _ in measures]
    for turn in range((rounds or ROUNDS) + 1):
        for place, measure in enumerate(measures):
            seconds = measure()
            if turn > 0:
                times[place].append(seconds)
    return [statistics.median(t) for t in times]


def samples():
    """The file of the 30 samples of 64 tokens that both sides search on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "samples.json"
    file.write_text(json.dumps(json.loads(SAMPLES.read_text())["token_ids"]))
    return file


def timed(command, **options):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def row(claim, measured, target, met, detail):
    return {"claim": claim, "target": target, "measured": measured, "met": met, "detail": detail}


def ratio(claim, peer, own, target, unit="{:.3g} s against {:.3g} s", scale=1.0):
    """A line of the table: how many times as long the peer takes."""
    times = peer / own
    return row(claim, f"{times:.2f}x", f"{target}x", times >= target, unit.format(own * scale, peer * scale))


def report(name, rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
    show(rows)


def show(rows):
    table = [("claim", "target", "measured", "", "seen")]
    table += [(r["claim"], r["target"], r["measured"], "met" if r["met"] else "missed", r["detail"]) for r in rows]
    widths = [max(len(line[i]) for line in table) for i in range(5)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True)
