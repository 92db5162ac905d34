"""Prints the table of all claims whose results are there."""

import json

import bench

ORDER = ["search", "calibrate", "decode", "prefill", "memory", "budget", "load", "bfloat16", "int8", "offload"]
files = [bench.RESULTS / f"{claim}.json" for claim in ORDER]
bench.show([line for file in files if file.exists() for line in json.loads(file.read_text())])
