"""Parquet files in datasets/src/test/resources/parquet, and the items of tasks as the hub serves them.

Run at the repository root. They were made with pyarrow 26.0.1, and hub.parquet and the tasks with datasets 5.2.0. All files but maps,
text and large hold the rows in rows.json.
"""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path("datasets/src/test/resources/parquet")
TASKS = Path("eval/src/test/resources/tasks")

ROWS = [
    {
        "id": f"item-{i}",
        "question": ["Which way?", "Wohin, Größe?", "どこへ?", ""][i % 4],
        "choices": {"text": ["north", "süd", "🧭"][: i % 3 + 1], "label": ["A", "B", "C"][: i % 3 + 1]},
        "answerKey": "A",
        "number": i * 3_000_000_000,
        "small": -i,
        "share": i / 8,
        "half": i / 4,
        "right": i % 2 == 0,
        "missing": None if i % 2 else "here",
        "ids": list(range(i)),
        "nested": [{"a": i, "b": ["q", None]}, {"a": None, "b": []}, None][: i % 4],
        "deep": [[1, i], [], [2]] if i % 2 else None,
        "empty": None,
    }
    for i in range(40)
]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.large_string()),
        ("choices", pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])),
        ("answerKey", pa.dictionary(pa.int32(), pa.string())),
        ("number", pa.int64()),
        ("small", pa.int8()),
        ("share", pa.float64()),
        ("half", pa.float32()),
        ("right", pa.bool_()),
        ("missing", pa.string()),
        ("ids", pa.list_(pa.int32())),
        ("nested", pa.list_(pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]))),
        ("deep", pa.list_(pa.list_(pa.int64()))),
        ("empty", pa.string()),
    ]
)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "rows.json").write_text(json.dumps(ROWS, ensure_ascii=False, indent=0) + "\n")
    table = pa.Table.from_pylist(ROWS, SCHEMA)
    for compression in ("none", "snappy", "zstd", "gzip", "lz4", "brotli"):
        pq.write_table(table, OUT / f"{compression}.parquet", compression=compression)
    pq.write_table(
        table,
        OUT / "pages-2.parquet",
        compression="zstd",
        data_page_version="2.0",
        data_page_size=64,
        write_page_checksum=True,
        use_dictionary=["question"],
        column_encoding={"id": "DELTA_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED", "share": "BYTE_STREAM_SPLIT"},
    )
    pq.write_table(table, OUT / "groups.parquet", row_group_size=7, use_compliant_nested_type=False, write_page_checksum=True)
    datasets.Dataset.from_list(ROWS).to_parquet(OUT / "hub.parquet")
    maps = pa.table({"map": pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int64()))})
    pq.write_table(maps, OUT / "maps.parquet")
    paragraphs = ["The first paragraph.", "  ", "The second one, größer.", "A third."]
    pq.write_table(pa.table({"text": paragraphs, "input_ids": [[1, 2], [3], [], [4]]}), OUT / "text.parquet")
    # One text of a mebibyte, which 300 rows refer to.
    pq.write_table(pa.table({"text": ["x" * (1 << 20)] * 300}), OUT / "large.parquet", compression="zstd")
    for items in TASKS.glob("*.jsonl"):
        rows = [json.loads(line) for line in items.read_text().splitlines()]
        datasets.Dataset.from_list(rows).to_parquet(items.with_suffix(".parquet"))


if __name__ == "__main__":
    main()
