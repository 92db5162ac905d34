"""A Llama checkpoint with random weights, of any size: it stands for a model that does not fit into memory."""

import json
import os
import shutil

import numpy
from safetensors.numpy import save_file

import bench

SEED = 20260
HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_SIZE = 2048, 8192, 16, 4, 128
BYTES = 2  # float16


def layer(number):
    name = f"model.layers.{number}."
    attention, mlp = name + "self_attn.", name + "mlp."
    return {
        attention + "q_proj.weight": (HEADS * HEAD_SIZE, HIDDEN),
        attention + "k_proj.weight": (KV_HEADS * HEAD_SIZE, HIDDEN),
        attention + "v_proj.weight": (KV_HEADS * HEAD_SIZE, HIDDEN),
        attention + "o_proj.weight": (HIDDEN, HEADS * HEAD_SIZE),
        mlp + "gate_proj.weight": (INTERMEDIATE, HIDDEN),
        mlp + "up_proj.weight": (INTERMEDIATE, HIDDEN),
        mlp + "down_proj.weight": (HIDDEN, INTERMEDIATE),
        name + "input_layernorm.weight": (HIDDEN,),
        name + "post_attention_layernorm.weight": (HIDDEN,),
    }


def elements(shapes):
    return sum(int(numpy.prod(shape)) for shape in shapes.values())


def write(folder, wanted_bytes):
    """Writes float16 shards of two layers each until the weights have that many bytes; returns their paths."""
    tokenizer = bench.ROOT / "models/builtin"
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / file, folder)
    config = json.loads((tokenizer / "config.json").read_text())
    layers = round(wanted_bytes / BYTES / elements(layer(0)))
    config.update(
        hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE, num_hidden_layers=layers)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    outer = {"model.embed_tokens.weight": (config["vocab_size"], HIDDEN), "model.norm.weight": (HIDDEN,)}
    shards = [outer] + [{**layer(i), **(layer(i + 1) if i + 1 < layers else {})} for i in range(0, layers, 2)]
    random = numpy.random.default_rng(SEED)
    files, index = [], {}
    for number, shapes in enumerate(shards):
        file = folder / f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        tensors = {}
        for name, shape in shapes.items():
            index[name] = file.name
            if len(shape) == 1:
                tensors[name] = numpy.ones(shape, numpy.float16)
            else:
                tensors[name] = (random.standard_normal(shape, numpy.float32) * 0.02).astype(numpy.float16)
        save_file(tensors, file)
        files.append(file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": sum(map(os.path.getsize, files))}, "weight_map": index}))
    return files


def forget(files):
    """Takes the files out of the page cache, so that a limited process has to read them itself."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
