#!/usr/bin/env python3
"""Trains the built-in model from installed packages of public-domain text.

Stages (each keeps its result under --work and is skipped when the result is there):

  text       novels and scripture are read from packages and cleaned to chapters of paragraphs
  tokenizer  byte-level BPE on the training text
  train      Llama layout, Muon + AdamW, warm-up / stable / decay schedule, checkpoints
  export     float16 directory that any Hugging Face loader reads

Needs the Debian packages in PACKAGES, R and the Python packages torch, transformers, tokenizers, safetensors, numpy,
matplotlib. `emma` is never read by the stages text, tokenizer and train except to print a held-out loss.
"""

import argparse
import collections
import csv
import json
import math
import os
import pathlib
import re
import subprocess
import time

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

PACKAGES = ["r-cran-janeaustenr", "r-cran-tokenizers", "bible-kjv-text", "bible-kjv"]
AUSTEN = ["sensesensibility", "prideprejudice", "mansfieldpark", "northangerabbey", "persuasion"]
HELD_OUT = "emma"

# Share of the training windows. Scripture is the largest source by bytes and the furthest from the style that the
# calibration texts are written in, so it gets the smallest share.
MIXTURE = {"austen": 0.60, "mobydick": 0.22, "kjv": 0.18}
# Most windows have a paragraph on a line; some keep the line breaks of the printed text, so that both forms are known.
WRAPPED_SHARE = 0.15

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 4096
HEADING = re.compile(r"^(CHAPTER|Chapter|VOLUME|Volume|BOOK|Epilogue|FINIS|Finis|THE END)\b.{0,80}$")


# --- text ------------------------------------------------------------------------------------------------------------


def chapters(raw):
    """Splits a novel into chapters; a chapter is a list of paragraphs, a paragraph a list of lines."""
    result = [[]]
    for block in re.split(r"\n\s*\n", raw.replace("\r", "")):
        lines = [line.strip() for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        if HEADING.match(lines[0]) and len(lines) <= 2:
            result.append([])
        else:
            result[-1].append(lines)
    # Everything before the first heading is title page and advertisement.
    return [chapter for chapter in result[1:] if chapter]


def read_from_r(package, name):
    """The text of a character vector in an R package, one element a line."""
    script = f'cat({package}::{name}, sep="\\n")'
    return subprocess.run(["Rscript", "-e", script], check=True, capture_output=True).stdout.decode("utf-8")


def read_austen(name):
    raw = read_from_r("janeaustenr", name)
    return chapters(raw.split("A NOTE ON THE TEXT")[0])


def read_mobydick():
    raw = read_from_r("tokenizers", "mobydick")
    # The edition's own notices, and the etymology and extracts, which are lists of quotations, are left out.
    start = raw.rindex("CHAPTER 1", 0, raw.index("Call me Ishmael"))
    end = re.search(r"\n[^\n]*End of (the )?Project Gutenberg", raw).start()
    return chapters(raw[start:end])


def read_kjv():
    """Verses without their numbers, gathered into paragraphs of a novel's length."""
    raw = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], check=True, capture_output=True).stdout.decode("utf-8")
    result, current = [], None
    for line in raw.split("\n"):
        verse = re.match(r"^(\w+?)(\d+):(\d+)\s+(.*)$", line)
        if not verse:
            continue
        if (verse[1], verse[2]) != current:
            current = (verse[1], verse[2])
            result.append([[]])
        paragraph = result[-1][-1]
        paragraph.append(verse[4].strip())
        if sum(map(len, paragraph)) > 500:
            result[-1].append([])
    return [[p for p in chapter if p] for chapter in result]


def flowing(chapter):
    """One paragraph a line."""
    return "\n".join(" ".join(" ".join(p).split()) for p in chapter) + "\n"


def wrapped(chapter):
    """The printed form: short lines, an empty line between paragraphs."""
    return "\n\n".join("\n".join(p) for p in chapter) + "\n"


def load_text(work):
    path = work / "text.json"
    if not path.exists():
        sources = {
            "austen": [c for name in AUSTEN for c in read_austen(name)],
            "mobydick": read_mobydick(),
            "kjv": read_kjv(),
            "heldout": read_austen(HELD_OUT),
        }
        path.write_text(json.dumps(
            {name: {"flowing": [flowing(c) for c in cs], "wrapped": [wrapped(c) for c in cs]}
             for name, cs in sources.items()}))
    return json.loads(path.read_text())


# --- tokenizer -------------------------------------------------------------------------------------------------------


def load_tokenizer(work, text):
    path = work / "tokenizer.json"
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=[END_OF_TEXT], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        # Every fourth chapter of the scripture: the vocabulary should serve prose first.
        documents = text["austen"]["flowing"] + text["mobydick"]["flowing"] + text["kjv"]["flowing"][::4]
        tokenizer.train_from_iterator(documents, trainer)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def encode(tokenizer, documents):
    """All documents in one stream of ids, the end-of-text token before each."""
    ids = []
    for encoding in tokenizer.encode_batch(documents):
        ids.append(0)
        ids.extend(encoding.ids)
    ids.append(0)
    return np.array(ids, dtype=np.int64)


# --- model -----------------------------------------------------------------------------------------------------------


def build_model():
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=12,
        num_attention_heads=6, num_key_value_heads=2, head_dim=32, max_position_embeddings=1024,
        rope_theta=10000.0, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=0, pad_token_id=None)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # Every block starts as the identity; the first steps are then steady without a small learning rate.
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest orthogonal matrix (five Newton-Schulz iterations).

    Matrices of one shape are stacked, so that a step is a few batched products instead of one for each matrix.
    """

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.1):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = collections.defaultdict(list)
            for parameter in group["params"]:
                by_shape[tuple(parameter.shape)].append(parameter)
            for (rows, columns), parameters in by_shape.items():
                directions = []
                for p in parameters:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    directions.append(p.grad.lerp(buffer, group["momentum"]))
                update = orthogonalise(torch.stack(directions)) * max(1.0, rows / columns) ** 0.5
                for p, u in zip(parameters, update):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u.to(p.dtype), alpha=-group["lr"])


def orthogonalise(g):
    """Pushes the singular values of each matrix in g [n, rows, columns] towards one."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(NEWTON_DTYPE)
    transposed = x.size(1) > x.size(2)
    if transposed:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.mT if transposed else x


NEWTON_DTYPE = torch.bfloat16


# --- training --------------------------------------------------------------------------------------------------------


class Windows:
    """Random windows of the mixture; all randomness comes from one generator."""

    def __init__(self, streams, seed):
        self.streams = streams
        self.random = np.random.default_rng(seed)
        self.names = list(MIXTURE)
        self.shares = np.array([MIXTURE[n] for n in self.names])

    def batch(self, rows, length):
        result = np.empty((rows, length + 1), dtype=np.int64)
        for row in result:
            name = self.random.choice(self.names, p=self.shares)
            form = "wrapped" if name != "kjv" and self.random.random() < WRAPPED_SHARE else "flowing"
            stream = self.streams[name][form]
            start = self.random.integers(0, len(stream) - length)
            row[:] = stream[start:start + length + 1]
        return torch.from_numpy(result)


def schedule(step, steps, warmup, decay):
    """Warm-up, stable, then 1 - sqrt decay to zero over the last `decay` steps."""
    if step < warmup:
        return (step + 1) / warmup
    if step < steps - decay:
        return 1.0
    return 1.0 - math.sqrt((step - (steps - decay)) / decay)


def loss_of(model, batch):
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.size(-1)).float(), batch[:, 1:].reshape(-1))


@torch.no_grad()
def held_out_loss(model, stream, rows=48, length=256):
    """Mean loss over windows spread evenly over the held-out novel."""
    starts = np.linspace(0, len(stream) - length - 1, rows).astype(int)
    batch = torch.from_numpy(np.stack([stream[s:s + length + 1] for s in starts]))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=AUTOCAST):
        return sum(float(loss_of(model, part)) for part in batch.split(16)) / math.ceil(rows / 16)


AUTOCAST = True


def split_parameters(model):
    """Matrices inside the blocks go to Muon; the tied embedding and the norm weights to AdamW."""
    matrices, embedding, gains = [], [], []
    for name, parameter in model.named_parameters():
        (gains if parameter.ndim == 1 else embedding if "embed" in name else matrices).append(parameter)
    return matrices, embedding, gains


def train(args, streams):
    torch.manual_seed(args.seed)
    model = build_model()
    matrices, embedding, gains = split_parameters(model)
    muon = Muon(matrices, lr=args.matrix_lr)
    adamw = torch.optim.AdamW(
        [{"params": embedding, "weight_decay": 0.01}, {"params": gains, "weight_decay": 0.0}],
        lr=args.vector_lr, betas=(0.9, 0.95))
    windows = Windows(streams, args.seed)
    step, rows, seconds = 0, [], 0.0

    checkpoint = args.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"])
        adamw.load_state_dict(state["adamw"])
        windows.random.bit_generator.state = state["random"]
        step, rows, seconds = state["step"], state["rows"], state["seconds"]

    # Static shapes: the two window lengths get their own kernels, about twice as fast as the uncompiled model.
    compiled = torch.compile(model, dynamic=False)
    recent, began = [], time.time()
    while step < args.steps:
        # The same number of tokens a step throughout; the last steps use the longest context the model is meant for.
        length = 1024 if step >= args.steps - args.long_steps else 256
        rate = schedule(step, args.steps, args.warmup, args.decay)
        for optimizer, lr in ((muon, args.matrix_lr), (adamw, args.vector_lr)):
            for group in optimizer.param_groups:
                group["lr"] = lr * rate

        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=AUTOCAST):
            loss = loss_of(compiled, windows.batch(args.batch_tokens // length, length))
        loss.backward()
        muon.step()
        adamw.step()
        model.zero_grad(set_to_none=True)
        recent.append(float(loss.detach()))
        step += 1

        if step % 20 == 0 or step == args.steps:
            held_out = None
            if step % 100 == 0 or step == args.steps:
                held_out = held_out_loss(compiled, streams["heldout"]["flowing"])
            rows.append([step, step * args.batch_tokens, rate, sum(recent) / len(recent), held_out])
            print(f"step {step} rate {rate:.3f} train {rows[-1][3]:.4f}"
                  + (f" held out {held_out:.4f}" if held_out else "")
                  + f" {time.time() - began + seconds:.0f} s", flush=True)
            recent = []
        if step % 100 == 0 or step == args.steps:
            state = dict(model=model.state_dict(), muon=muon.state_dict(), adamw=adamw.state_dict(),
                         random=windows.random.bit_generator.state, step=step, rows=rows,
                         seconds=seconds + time.time() - began)
            torch.save(state, args.work / "checkpoint.tmp")
            os.replace(args.work / "checkpoint.tmp", checkpoint)


# --- export ----------------------------------------------------------------------------------------------------------


def export(args):
    """Writes the checkpoint as a float16 Hugging Face directory; each file appears under its name only when whole."""
    state = torch.load(args.work / "checkpoint.pt", weights_only=False)
    model = build_model()
    model.load_state_dict(state["model"])
    model = model.to(torch.float16)
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.dtype = torch.float16
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0)

    staging = args.work / "export"
    model.save_pretrained(staging)
    tokenizer = json.loads((args.work / "tokenizer.json").read_text())
    (staging / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (staging / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT, "add_bos_token": False, "add_prefix_space": False,
        "clean_up_tokenization_spaces": False, "model_max_length": 1024}, indent=2) + "\n")

    args.out.mkdir(parents=True, exist_ok=True)
    names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    for name in names:
        temporary = args.out / (name + ".tmp")
        temporary.write_bytes((staging / name).read_bytes())
        os.replace(temporary, args.out / name)


def write_curve(args):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    state = torch.load(args.work / "checkpoint.pt", weights_only=False)
    recipe = args.out / "recipe"
    recipe.mkdir(parents=True, exist_ok=True)
    with open(recipe / "loss_curve.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "tokens", "lr", "train_loss", "heldout_loss"])
        for step, tokens, rate, loss, held_out in state["rows"]:
            writer.writerow([step, tokens, f"{rate * args.matrix_lr:.6f}", f"{loss:.4f}",
                             "" if held_out is None else f"{held_out:.4f}"])
    steps, _, _, losses, held = zip(*state["rows"])
    figure, axes = plt.subplots(figsize=(6, 3.2), dpi=80)
    axes.plot(steps, losses, linewidth=0.8, label="train (mean of 20 steps)")
    axes.plot([s for s, h in zip(steps, held) if h], [h for h in held if h], label="held out (emma)")
    axes.set(xlabel="step", ylabel="loss, nats per token", ylim=(min(losses) - 0.2, 6.0))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(recipe / "loss_curve.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="intermediate files")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1], help="model directory")
    parser.add_argument("--seed", type=int, default=1811)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--decay", type=int, default=700, help="last steps, with falling learning rate")
    parser.add_argument("--long-steps", type=int, default=100, help="last steps, windows of 1024 instead of 256 tokens")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="Muon")
    parser.add_argument("--vector-lr", type=float, default=0.003, help="AdamW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true", help="export the latest checkpoint, train nothing")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.export_only:
        text = load_text(args.work)
        tokenizer = load_tokenizer(args.work, text)
        streams = {name: {form: encode(tokenizer, documents) for form, documents in forms.items()}
                   for name, forms in text.items()}
        train(args, streams)
    export(args)
    write_curve(args)


if __name__ == "__main__":
    main()
