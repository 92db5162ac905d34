"""Compares `kvshare eval --task` with lm-evaluation-harness on a few hundred real items, with the same float32 weights.

    python compare_with_harness.py items FOLDER GSM8K.jsonl OUT [N]
    python compare_with_harness.py packages EVALS.whl LM_EVAL.whl OUT [N]
    python compare_with_harness.py texts HELLASWAG.txt ASTRONOMY.csv LAMBADA.jsonl OUT [N]
    python compare_with_harness.py compare MODEL.gguf OUT/*.parquet

The first three write N items of each task with the fields of the hub. FOLDER is the folder dataset of the repository AGI-Edgerunners/LLM-Adapters,
GSM8K.jsonl the test set of openai/grade-school-math. The packages evals and lm-eval carry items themselves, `pip download --no-deps` gets them.
HELLASWAG.txt is hellaswag_val_full.txt of klosax/hellaswag_text_data, ASTRONOMY.csv data/mmlu/test/astronomy_test.csv of HaeChan0305/MLILAB-FedLLM,
LAMBADA.jsonl scripts/eval/local_data/language_understanding/lambada_openai.jsonl of mosaicml/llm-foundry. The last needs lm-eval, transformers,
gguf, and kvshare on the path or in KVSHARE. It fails where an accuracy differs by more than 1e-6, a log-likelihood by more than 1e-3 nats, or an
answer in a letter.
"""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pyarrow as pa
import pyarrow.parquet as pq

ANSWER_TOKENS = 64
OFFICIAL = {
    "arc": "arc/arc_easy.yaml",
    "piqa": "piqa/piqa.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "winogrande": "winogrande/default.yaml",
    "lambada": "lambada/lambada_openai.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
    "mmlu": "mmlu/default/_default_template_yaml",
    "mmlu_astronomy": "mmlu/default/mmlu_astronomy.yaml",
    "logiqa": "mmlu/default/_default_template_yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
}
LETTERS = "ABCD"
NAMES = {"acc": "accuracy", "acc_norm": "normalised", "exact_match,strict-match": "exact (strict)", "exact_match,flexible-extract": "exact (flexible)"}


def choices(instruction, label):
    """The question of an instruction and its choices."""
    question, _, rest = instruction.partition(": ")[2].partition("\n\n")
    rest = re.split(r"\s*(?:Answer|Solution|Option) format: ", rest)[0]
    return question, [text.strip() for text in re.split(rf"{label}\d: ", rest)[1:]]


def items(folder, gsm8k, out, count):
    rows = {name: [] for name in OFFICIAL}
    for name, source, label in [("arc", "ARC-Easy", "Answer"), ("openbookqa", "openbookqa", "Answer"), ("piqa", "piqa", "Solution"), ("winogrande", "winogrande", "Option")]:
        for row in json.loads((folder / source / "test.json").read_text()):
            question, texts = choices(row["instruction"].replace("Answer format", "\nAnswer format"), label)
            right = int(row["answer"][-1]) - 1
            if len(texts) < 2 or right >= len(texts) or not all(texts) or (name == "winogrande" and "_" not in question):
                continue
            labels = [chr(ord("A") + i) for i in range(len(texts))]
            if name in ("arc", "openbookqa"):
                field = "question" if name == "arc" else "question_stem"
                rows[name].append({field: question, "choices": {"text": texts, "label": labels}, "answerKey": labels[right]})
            elif name == "piqa":
                rows[name].append({"goal": question, "sol1": texts[0], "sol2": texts[1], "label": right})
            else:
                rows[name].append({"sentence": question, "option1": texts[0], "option2": texts[1], "answer": str(right + 1)})
    problems = [json.loads(line) for line in gsm8k.read_text().splitlines()]
    rows["gsm8k"] = problems[: count // 10]
    # The last words of real texts, not those of the LAMBADA data.
    rows["lambada"] = [{"text": row["question"].rstrip("?. ")} for row in problems]
    write(rows, out, count)


def write(rows, out, count):
    out.mkdir(parents=True, exist_ok=True)
    for name, found in rows.items():
        if found:
            pq.write_table(pa.Table.from_pylist(found[:count]), out / f"{name}.parquet")
            print(name, len(found[:count]), "items")


def packages(evals, harness, out, count):
    """LogiQA as the package evals has it, asked as MMLU is; MMLU's development items, which lm-eval has."""
    logiqa, mmlu = [], []
    for line in zipfile.ZipFile(evals).read("evals/registry/data/logiqa/logiqa.jsonl").decode().splitlines():
        row = json.loads(line)
        question, *options = re.split(r"\n[A-D]\. [A-D]\.", row["input"][1]["content"].strip().removesuffix("Answer:"))
        if len(options) == 4:
            logiqa.append({"question": question, "choices": [text.strip() for text in options], "answer": LETTERS.index(row["ideal"])})
    for text in json.loads(zipfile.ZipFile(harness).read("lm_eval/tasks/mmlu/flan_cot_fewshot/_cot_prompts.json")).values():
        for part in text.split("\n\nQ: ")[1:]:
            found = re.match(r"(.*?)\n\(A\) (.*?) \(B\) (.*?) \(C\) (.*?) \(D\) (.*?)\nA: .*answer is \(([A-D])\)", part, re.DOTALL)
            if found:
                question, *options, right = found.groups()
                mmlu.append({"question": question, "choices": options, "answer": LETTERS.index(right)})
    write({"logiqa": logiqa, "mmlu": mmlu[:: max(1, len(mmlu) // count)]}, out, count)


def texts(hellaswag, astronomy, lambada, out, count):
    """HellaSwag's validation items; MMLU's test items of a subject, with the description that names it; LAMBADA."""
    lines, stories = hellaswag.read_text().splitlines(), []
    for start in range(0, 6 * count, 6):
        activity, _, context = lines[start].partition(": ")
        # The unfinished sentence is the field ctx_b of the hub.
        first, stop, second = context.rpartition(". ")
        fields = {"activity_label": activity, "ctx_a": first + stop.strip(), "ctx_b": second}
        stories.append(fields | {"endings": lines[start + 2 : start + 6], "label": lines[start + 1]})
    questions = []
    with astronomy.open(newline="") as file:
        for row in csv.DictReader(file):
            options = [row[f"choice{i}"] for i in range(4)]
            questions.append({"question": row["question"], "subject": "astronomy", "choices": options, "answer": int(row["answer"])})
    words = [json.loads(line) for line in lambada.read_text().splitlines()]
    passages = [{"text": row["context"] + " " + row["continuation"].strip()} for row in words]
    write({"hellaswag": stories, "mmlu_astronomy": questions, "lambada": passages}, out, count)


def kvshare(model, files):
    """The responses and scores of each file."""
    folder = Path(tempfile.mkdtemp())
    command = [os.environ.get("KVSHARE", "kvshare"), "eval", "--model", model, "--answer-tokens", str(ANSWER_TOKENS), "--journal", folder / "journal"]
    for file in files:
        command += ["--task", file]
    report = json.loads(subprocess.run([str(word) for word in [*command, "--json"]], check=True, stdout=subprocess.PIPE).stdout)
    values = [json.loads(line) for line in (folder / "journal").read_text().splitlines()[1:]]
    responses = {entry["name"]: entry["value"] for entry in values}
    found = {}
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        scores = {row["score"]: row["value"] for row in report["rows"] if row["file"] == file.name}
        count = max(row["items"] for row in report["rows"] if row["file"] == file.name)
        found[file.stem] = scores, [responses[f"{digest} {i}, variant 0"] for i in range(count)]
    return found


def harness(model, files):
    import gguf
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    official = Path(lm_eval.__file__).parent / "tasks"
    configs = Path(tempfile.mkdtemp())
    for file in files:
        lines = [f"include: {official / OFFICIAL[file.stem]}", f"task: local_{file.stem}", "dataset_path: parquet", "dataset_name: null"]
        lines += ["dataset_kwargs:", "  data_files:", f"    test: {file.resolve()}"]
        lines += ["test_split: test", "validation_split: null", "training_split: null", "fewshot_split: null", "num_fewshot: 0"]
        (configs / f"{file.stem}.yaml").write_text("\n".join(lines) + "\n")
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    loaded = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
    kind = gguf.GGUFReader(model).fields["tokenizer.ggml.pre"]
    if bytes(kind.parts[kind.data[0]]) == b"smollm":
        # transformers takes the pre-tokenizer of GPT-2 for every GGUF file; that of SmolLM sets digits apart first, as in its tokenizer.json.
        split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=loaded, tokenizer=tokenizer, batch_size=1),
        tasks=[f"local_{file.stem}" for file in files],
        task_manager=TaskManager(include_path=str(configs), include_defaults=False),
        gen_kwargs={"max_gen_toks": ANSWER_TOKENS},
        num_fewshot=0,
        log_samples=True,
        bootstrap_iters=0,
    )
    found = {}
    for file in files:
        samples = {sample["doc_id"]: sample["resps"] for sample in results["samples"][f"local_{file.stem}"]}
        measured = results["results"][f"local_{file.stem}"]
        scores = {}
        for name, value in measured.items():
            ours = NAMES.get(name) or NAMES.get(name.split(",")[0])
            if ours and isinstance(value, float):
                scores[ours] = value
        found[file.stem] = scores, [samples[i] for i in sorted(samples)]
    return found


def compare(model, files):
    ours, theirs = kvshare(model, files), harness(model, files)
    failed = False
    print("| task | items | scores of both | largest difference of a score | of a log-likelihood, nats | same answers |")
    print("|---|---:|---|---:|---:|---:|")
    for name, (scores, responses) in ours.items():
        reference, expected = theirs[name]
        nats, same = 0.0, 0
        for response, expectation in zip(responses, expected, strict=True):
            if name == "gsm8k":
                same += response["text"] == expectation[0][0]
                continue
            pairs = [each[0] for each in expectation]
            nats = max([nats, *(abs(a - float(b[0])) for a, b in zip(response["logLikelihoods"], pairs, strict=True))])
            same += response["greedy"] == [pair[1] in (True, "True") for pair in pairs]
        apart = max(abs(scores[score] - reference[score]) for score in reference)
        shown = ", ".join(f"{score} {value:.4f}" for score, value in reference.items())
        print(f"| `{name}` | {len(responses)} | {shown} | {apart:.1e} | {nats:.1e} | {same} |", flush=True)
        failed |= apart > 1e-6 or nats > 1e-3 or same < len(responses)
    return failed


if __name__ == "__main__":
    if sys.argv[1] == "items":
        items(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else 200)
    elif sys.argv[1] == "packages":
        packages(*map(Path, sys.argv[2:5]), int(sys.argv[5]) if len(sys.argv) > 5 else 120)
    elif sys.argv[1] == "texts":
        texts(*map(Path, sys.argv[2:6]), int(sys.argv[6]) if len(sys.argv) > 6 else 60)
    else:
        sys.exit(compare(Path(sys.argv[2]), [Path(file) for file in sys.argv[3:]]))
