"""Writes apply/src/test/resources/goldens/variants: tiny random checkpoints whose settings differ from those of
goldens/architectures, with the outputs of Hugging Face transformers in the same layout.

Made with transformers 5.23.0 and torch 2.7.1 on the CPU (eager attention, float32):
    python3 apply/src/test/python/write_variants.py apply/src/test/resources/goldens/variants
"""

import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 128
TOKENS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
COMMON = dict(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6,
              num_key_value_heads=3, max_position_embeddings=128, initializer_range=0.15, **TOKENS)
GPT2 = dict(vocab_size=VOCABULARY, n_embd=48, n_layer=3, n_head=6, n_positions=64, initializer_range=0.15, **TOKENS)
OPT = dict(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=3, num_attention_heads=6, ffn_dim=64,
           max_position_embeddings=64, init_std=0.15, **TOKENS)
FACTORS = dict(short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 2.0, 3.0, 4.0])


def rope(rope_type, **settings):
    return dict(rope_parameters=dict(rope_theta=10000.0, rope_type=rope_type, **settings))


VARIANTS = {
    "gemma2_uncapped": ("gemma2", COMMON | dict(
        head_dim=16, attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True,
        query_pre_attn_scalar=7, sliding_window=5)),
    "gemma3_mixed": ("gemma3_text", COMMON | dict(
        head_dim=16, num_hidden_layers=5, num_key_value_heads=1, sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(full_attention=dict(rope_theta=50000.0, rope_type="linear", factor=4.0),
                             sliding_attention=dict(rope_theta=500.0, rope_type="default")))),
    "gpt2_options": ("gpt2", GPT2 | dict(
        n_inner=96, activation_function="relu", scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False)),
    "gpt_neox_sequential": ("gpt_neox", COMMON | rope("default", partial_rotary_factor=1.0) | dict(
        use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True, hidden_act="gelu_new")),
    "granite_bias": ("granite", COMMON | dict(
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True, attention_multiplier=0.3,
        embedding_multiplier=3.0, logits_scaling=2.5, residual_multiplier=0.4)),
    "llama_dynamic": ("llama", COMMON | rope("dynamic", factor=2.0) | dict(
        head_dim=20, max_position_embeddings=16, tie_word_embeddings=True)),
    "llama_yarn_scaled": ("llama", COMMON | rope(
        "yarn", factor=8.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=1.3, beta_fast=16.0,
        beta_slow=2.0, truncate=False) | dict(num_key_value_heads=6)),
    "opt_350m_like": ("opt", OPT | dict(
        do_layer_norm_before=False, word_embed_proj_dim=32, activation_function="gelu")),
    "phi3_crossing": ("phi3", COMMON | rope("longrope", **FACTORS) | dict(original_max_position_embeddings=28)),
    "phi3_long": ("phi3", COMMON | rope("longrope", **FACTORS) | dict(
        original_max_position_embeddings=16, sliding_window=6)),
    "phi3_partial": ("phi3", COMMON | rope(
        "longrope", partial_rotary_factor=0.5, short_factor=[1.0, 1.5], long_factor=[2.0, 4.0]) | dict(
        original_max_position_embeddings=64, tie_word_embeddings=True)),
    "qwen2_sliding": ("qwen2", COMMON | dict(
        use_sliding_window=True, sliding_window=6, max_window_layers=1, tie_word_embeddings=True)),
    "qwen3_moe_mixed": ("qwen3_moe", COMMON | dict(
        num_hidden_layers=4, head_dim=12, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=24,
        decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False, attention_bias=True)),
    "smollm3_sliding": ("smollm3", COMMON | dict(
        no_rope_layers=[0, 1, 0], use_sliding_window=True, sliding_window=6, tie_word_embeddings=False, mlp_bias=True,
        attention_bias=True)),
    "stablelm_normed": ("stablelm", COMMON | rope("default", partial_rotary_factor=0.5) | dict(
        qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=True)),
    "starcoder2_unbiased": ("starcoder2", COMMON | dict(
        use_bias=False, sliding_window=6, tie_word_embeddings=False, num_key_value_heads=1)),
}


@torch.no_grad()
def write(name, model_type, settings, root):
    torch.manual_seed(sum(map(ord, name)))
    config = AutoConfig.for_model(model_type, **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(f"{root}/{name}")
    model = AutoModelForCausalLM.from_pretrained(f"{root}/{name}", attn_implementation="eager").float().eval()
    ids = torch.randint(3, VOCABULARY, (2, 20))
    output = model(ids, output_hidden_states=True, use_cache=False)
    greedy = model.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), do_sample=False, max_new_tokens=16,
                            suppress_tokens=[2], eos_token_id=None, pad_token_id=0)
    tensors = dict(input_ids=ids, logits=output.logits, last_hidden=output.hidden_states[-1], greedy=greedy[0, 20:])
    save_file({key: value.contiguous() for key, value in tensors.items()}, f"{root}/{name}/golden.safetensors")


for name, (model_type, settings) in VARIANTS.items():
    write(name, model_type, settings, sys.argv[1])
