"""Scores of lm-evaluation-harness on the items in eval/src/test/resources/tasks.

Run at the repository root. They were made with lm-eval 0.4.13, transformers 4.57.6 and torch 2.15.0 on the CPU. The model is the tiny
llama of the goldens with a tokenizer that is trained here on the items and puts a BOS token before a text.
"""

import json
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

MODEL = Path("apply/src/test/resources/goldens/architectures/llama")
ITEMS = Path("eval/src/test/resources/tasks").resolve()
OFFICIAL = Path(lm_eval.__file__).parent / "tasks"
NEW_TOKENS = 32
TASKS = {
    "hellaswag": "hellaswag/hellaswag.yaml",
    "piqa": "piqa/piqa.yaml",
    "arc": "arc/arc_easy.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "winogrande": "winogrande/default.yaml",
    "mmlu": "mmlu/default/_default_template_yaml",
    "lambada": "lambada/lambada_openai.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
}


def tokenizer():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=256, special_tokens=["<s>", "</s>"], show_progress=False)
    texts = [path.read_text() for path in sorted(ITEMS.glob("*.jsonl"))]
    tok.train_from_iterator(texts + ["0123456789 #$.,-:ABCD"] * 3, trainer)
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tok


def main():
    folder = Path(tempfile.mkdtemp())
    model, configs = folder / "model", folder / "tasks"
    configs.mkdir()
    shutil.copytree(MODEL, model)
    tokenizer().save(str(model / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(model / name, ITEMS / name)
    for name, official in TASKS.items():
        lines = [f"include: {OFFICIAL / official}", f"task: local_{name}", "dataset_path: json", "dataset_name: null"]
        lines += ["dataset_kwargs:", "  data_files:", f"    test: {ITEMS / name}.jsonl"]
        lines += ["test_split: test", "validation_split: null", "training_split: null", "fewshot_split: null", "num_fewshot: 0"]
        if name == "mmlu":
            about = "The following are multiple choice questions (with answers) about human anatomy.\\n\\n"
            lines += [f'description: "{about}"', "fewshot_config: null"]
        (configs / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=1)
    results = lm_eval.simple_evaluate(
        model=lm,
        tasks=[f"local_{name}" for name in TASKS],
        task_manager=TaskManager(include_path=str(configs), include_defaults=False),
        gen_kwargs={"max_gen_toks": NEW_TOKENS},
        num_fewshot=0,
        log_samples=True,
        bootstrap_iters=0,
    )
    goldens = {}
    for name in TASKS:
        samples = {}
        for sample in results["samples"][f"local_{name}"]:
            samples.setdefault(sample["doc_id"], sample["resps"])
        items = []
        for _, resps in sorted(samples.items()):
            if name == "gsm8k":
                items.append({"text": resps[0][0]})
            else:
                pairs = [resp[0] for resp in resps]
                items.append({"log_likelihoods": [float(p[0]) for p in pairs], "greedy": [p[1] in (True, "True") for p in pairs]})
        metrics = {k: v for k, v in results["results"][f"local_{name}"].items() if isinstance(v, float) and "stderr" not in k}
        metrics.update({k: v for k, v in results["results"][f"local_{name}"].items() if "stderr" in k and isinstance(v, float) and not math.isnan(v)})
        goldens[name] = {"items": items, "metrics": metrics}
    (ITEMS / "goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")
    print(json.dumps({name: golden["metrics"] for name, golden in goldens.items()}, indent=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
