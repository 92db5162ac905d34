"""Writes src/test/resources/dev/kvshare/apply/model/gguf/architectures: for each architecture a random model
of two layers as a Hugging Face directory NAME and as NAME.gguf, converted as convert_hf_to_gguf.py of
llama.cpp does. Run in the module's folder. The kept files were made with gguf 0.19.0, transformers
5.23.0, torch 2.7.1."""

import math
import pathlib
import shutil

import gguf
import numpy as np
import torch
import transformers as tf
from safetensors.numpy import load_file

OUT = pathlib.Path("src/test/resources/dev/kvshare/apply/model/gguf/architectures")
COMMON = dict(vocab_size=8, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
THETA = dict(rope_theta=5000.0)
LLAMA3 = dict(THETA, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
MODELS = {
    "llama": (tf.LlamaConfig, dict(rope_parameters=dict(THETA, rope_type="default"), head_dim=6)),
    "llama3": (tf.LlamaConfig, dict(rope_parameters=LLAMA3, tie_word_embeddings=True)),
    "llama_linear": (tf.LlamaConfig, dict(rope_parameters=dict(THETA, rope_type="linear", factor=4.0),
                                          attention_bias=True, mlp_bias=True)),
    "llama_yarn": (tf.LlamaConfig, dict(rope_parameters=dict(
        THETA, rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=16.0, attention_factor=1.25))),
    "granite": (tf.GraniteConfig, dict(attention_multiplier=0.2, embedding_multiplier=2.0, residual_multiplier=0.7,
                                       logits_scaling=1.5)),
    "qwen2": (tf.Qwen2Config, dict()),
    "qwen3": (tf.Qwen3Config, dict(head_dim=6)),
    "olmo2": (tf.Olmo2Config, dict()),
    "starcoder2": (tf.Starcoder2Config, dict(use_bias=True, sliding_window=None)),
    "stablelm": (tf.StableLmConfig, dict(partial_rotary_factor=0.5, use_qkv_bias=True)),
    "stablelm_parallel": (tf.StableLmConfig, dict(partial_rotary_factor=0.5, use_parallel_residual=True,
                                                  qk_layernorm=True)),
    "phi3": (tf.Phi3Config, dict(sliding_window=9, max_position_embeddings=512, original_max_position_embeddings=16, rope_parameters=dict(
        rope_theta=10000.0, rope_type="longrope", short_factor=[1.0, 1.5], long_factor=[2.0, 4.0]))),
    "gpt2": (tf.GPT2Config, dict(n_embd=16, n_head=4, n_layer=2, n_positions=64, n_inner=24)),
    "gemma2": (tf.Gemma2Config, dict(head_dim=6, query_pre_attn_scalar=6, sliding_window=7)),
    "gemma3": (tf.Gemma3TextConfig, dict(num_hidden_layers=7, head_dim=6, query_pre_attn_scalar=6, sliding_window=7)),
}


def interleave(weight, heads):
    split = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return split.swapaxes(1, 2).reshape(weight.shape)


def rope_factors(rope, head_size):
    factors = []
    trained, low, high = (rope[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    for i in range(0, head_size, 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (i / head_size)
        smooth = min(1, max(0, (trained / wave - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def write_keys(w, c, kind):
    get = lambda *keys: next((c[k] for k in keys if c.get(k) is not None), None)
    hidden, heads = get("hidden_size", "n_embd"), get("num_attention_heads", "n_head")
    rope = c.get("rope_parameters") or {}
    full = rope.get("full_attention", rope)
    w.add_block_count(get("num_hidden_layers", "n_layer"))
    w.add_context_length(get("max_position_embeddings", "n_positions"))
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(get("intermediate_size", "n_inner"))
    w.add_head_count(heads)
    if c.get("num_key_value_heads"):
        w.add_head_count_kv(c["num_key_value_heads"])
    if c.get("rms_norm_eps"):
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"):
        w.add_layer_norm_eps(get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"))
    head_size = c.get("head_dim") or hidden // heads
    if c.get("head_dim"):
        w.add_key_length(head_size)
        w.add_value_length(head_size)
    if full and kind != "stablelm":
        w.add_rope_freq_base(full["rope_theta"])
    if kind in ("llama", "granite", "stablelm", "phi3"):
        w.add_rope_dimension_count(int(full.get("partial_rotary_factor", 1.0) * head_size))
    if full.get("rope_type") == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(full["factor"])
    if full.get("rope_type") == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(full["factor"])
        w.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_attn_factor(full["attention_factor"])
        w.add_rope_scaling_yarn_beta_fast(full["beta_fast"])
    if full.get("rope_type") == "llama3":
        w.add_tensor("rope_freqs.weight", rope_factors(full, head_size))
    if kind == "stablelm":
        w.add_parallel_residual(c["use_parallel_residual"])
    if kind == "granite":
        w.add_attention_scale(c["attention_multiplier"])
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    if kind == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if kind in ("gemma2", "gemma3", "phi3"):
        w.add_sliding_window(c["sliding_window"])
    if kind == "phi3":
        trained = c["original_max_position_embeddings"]
        scale = c["max_position_embeddings"] / trained
        w.add_rope_scaling_orig_ctx_len(trained)
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(trained)))
        w.add_tensor("rope_factors_long.weight", np.array(full["long_factor"], dtype=np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(full["short_factor"], dtype=np.float32))


def write_tensors(w, c, kind, tensors):
    names = gguf.get_tensor_name_map(w_arch(kind), c.get("num_hidden_layers", c.get("n_layer")))
    heads = {"q": c.get("num_attention_heads"), "k": c.get("num_key_value_heads")}
    for part in "qk":
        for layer in range(c.get("num_hidden_layers", 0)):
            stem = f"model.layers.{layer}.self_attn.{part}_layernorm"
            if f"{stem}.norms.0.weight" in tensors:
                rows = [tensors.pop(f"{stem}.norms.{head}.weight") for head in range(heads[part])]
                tensors[f"{stem}.weight"] = np.stack(rows)
    for name, value in tensors.items():
        for part in "qk":
            if kind in ("llama", "granite") and f"{part}_proj." in name:
                value = interleave(value, heads[part])
        if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            value = value.T
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            value = value + 1
        w.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(value))


def w_arch(kind):
    return next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)


torch.manual_seed(5)
shutil.rmtree(OUT, ignore_errors=True)
for name, (config_class, settings) in MODELS.items():
    common = {"vocab_size": 8} if name == "gpt2" else COMMON
    config = config_class(**{**common, **settings})
    model = tf.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(OUT / name)
    (OUT / name / "generation_config.json").unlink(missing_ok=True)
    kind = name.split("_")[0].replace("llama3", "llama")
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", kind)
    write_keys(writer, config.to_dict(), kind)
    write_tensors(writer, config.to_dict(), kind, load_file(OUT / name / "model.safetensors"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
