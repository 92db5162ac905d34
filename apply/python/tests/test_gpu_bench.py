"""bench/gpu.py runs on a CPU with small shapes; on a machine with a GPU it is run by hand."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "bench/gpu.py"


def test_the_benchmark_prints_ratios_of_every_plan(tmp_path):
    found = tmp_path / "found.json"
    options = ["--device", "cpu", "--shapes", "tiny", "--contexts", "80", "--batches", "2", "--rounds", "1"]
    run = subprocess.run(
        [sys.executable, str(BENCH), *options, "--steps", "2", "--json", str(found)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "not run on a GPU" in run.stdout
    ratios = {row["plan"]: round(row["ratio"], 3) for row in json.loads(found.read_text()) if row["what"] == "KV cache"}
    length = 80 + 8 + 2
    windows = round((4 * length + 4 * 68) / (8 * length), 3)
    assert ratios == {
        "unshared": 1,
        "25 % share": 0.75,
        "50 % share": 0.5,
        "50 % windows, exact prompt": windows,
        "50 % windows": windows,
    }
