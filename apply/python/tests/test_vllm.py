"""Under a policy vLLM gives the tokens of transformers, which are held to those of the Java runtime elsewhere.

Runs where vLLM is installed; last run with the versions that docs/python.md names.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
vllm = pytest.importorskip("vllm")

import torch  # noqa: E402
from conftest import conformance  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

import kvshare  # noqa: E402
import kvshare.vllm  # noqa: E402

MODEL = Path(__file__).resolve().parents[3] / "models/builtin"
LAYERS = 12
NEW_TOKENS = 40
OWN = list(range(LAYERS))
SHARE = [0, 1, 1, 3, 3, 5, 6, 6, 6, 9, 10, 10]
PLANS: dict[str, dict[str, Any]] = {
    "share": {"kv_source": SHARE},
    "window": {"kv_source": OWN, "window": {"layers": [1, 4, 6, 7, 8, 9], "first": 4, "last": 30}},
    "window-without-first": {"kv_source": OWN, "window": {"layers": [1, 4, 6, 9], "first": 0, "last": 40}},
    "mixed": {
        "kv_source": [0, 1, 1, 3, 3, 5, 6, 6, 8, 8, 10, 11],
        "window": {"layers": [8, 9, 11], "first": 4, "last": 30},
    },
    "exact": {
        "kv_source": OWN,
        "window": {"layers": [1, 4, 6, 7, 8, 9], "first": 4, "last": 30},
        "prefill": "exact",
    },
}
# Of the cache's memory, the tokens of texts that fit: layers by owners that keep all, in groups of the smaller kind.
CAPACITY = {"share": 12 / 7, "window": 12 / 6, "window-without-first": 12 / 8, "mixed": 12 / 6, "exact": 12 / 6}


def engine(policy: Path | None, **named: Any) -> Any:
    settings = {
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 512,
        "max_num_seqs": 8,
        "max_num_batched_tokens": 512,
        "enable_prefix_caching": False,
        "enable_chunked_prefill": False,
        "hf_overrides": None if policy is None else kvshare.vllm.overrides(MODEL, policy),
    }
    return vllm.LLM(str(MODEL), **{**settings, **named})


def generated(llm: Any, prompts: list[list[int]]) -> list[list[int]]:
    settings = vllm.SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
    found = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], settings, use_tqdm=False)
    return [list(output.outputs[0].token_ids) for output in found]


def expected(policy: Path | None, prompts: list[list[int]]) -> list[list[int]]:
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    if policy is not None:
        kvshare.apply_policy(model, policy)
    settings = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "pad_token_id": 0}
    return [model.generate(torch.tensor([ids]), **settings)[0, len(ids) :].tolist() for ids in prompts]


def tokens_that_fit(llm: Any) -> float:
    """Of requests that are much longer than a window."""
    config = llm.llm_engine.vllm_config.cache_config
    groups = llm.llm_engine.engine_core.engine_core.scheduler.kv_cache_config.kv_cache_groups
    whole = [group for group in groups if type(group.kv_cache_spec).__name__ == "FullAttentionSpec"]
    return config.num_gpu_blocks * config.block_size / len(whole)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    numbers = random.Random(1)
    return [[numbers.randrange(3, 4096) for _ in range(length)] for length in (20, 150, 90)]


@pytest.fixture(scope="module")
def unshared() -> float:
    return tokens_that_fit(engine(None))


@pytest.mark.parametrize("name", PLANS)
def test_tokens_are_those_of_transformers_and_the_cache_holds_more(name, prompts, unshared, written):
    policy = written(plan=PLANS[name])
    llm = engine(policy)
    assert generated(llm, prompts) == expected(policy, prompts)
    assert tokens_that_fit(llm) / unshared == pytest.approx(CAPACITY[name], rel=2e-3)


@pytest.mark.parametrize("name", ["own", "share", "window", "window-without-first", "mixed", "repaired"])
def test_tokens_are_those_of_the_java_runtime(name):
    """Of the set that all runtimes give; its tiny models have heads that vLLM has no kernel for on a CPU."""
    policy = conformance("builtin", name)
    stored = load_file(policy.with_suffix(".expected.safetensors"))
    prompts = [{"prompt_token_ids": stored[f"prompt.{row}"].tolist()} for row in range(2)]
    never = {2: -100.0}
    settings = vllm.SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logit_bias=never)
    found = engine(policy).generate(prompts, settings, use_tqdm=False)
    assert [list(row.outputs[0].token_ids) for row in found] == stored["tokens"].tolist()


@pytest.mark.parametrize("name", ["reader-window", "exact", "repaired-exact"])
def test_the_other_plans_of_that_set_are_refused(name):
    with pytest.raises(Exception, match=r"layer 2 and its source 1|prefill"):
        engine(conformance("builtin", name))


@pytest.mark.parametrize("name", ["share", "window", "mixed"])
def test_chunks_of_a_prompt_and_known_prefixes_change_nothing(name, prompts, written):
    policy = written(plan=PLANS[name])
    llm = engine(policy, enable_chunked_prefill=True, max_num_batched_tokens=64, enable_prefix_caching=True)
    found = expected(policy, prompts)
    assert generated(llm, prompts) == found
    assert generated(llm, prompts) == found


def test_refitted_weights_are_loaded(prompts, tmp_path, written):
    policy = repaired(written, tmp_path)
    found = generated(engine(policy), prompts)
    assert found == expected(policy, prompts)
    assert found != expected(None, prompts)


def test_a_bias_that_the_model_has_no_place_for_is_refused(tmp_path, written):
    with pytest.raises(Exception, match=r"q_proj\.bias"):
        engine(repaired(written, tmp_path, {"model.layers.4.self_attn.q_proj.bias": torch.zeros(192)}))


def test_refitted_weights_that_are_not_numbers_are_refused(tmp_path, written):
    broken = {"model.layers.4.self_attn.o_proj.bias": torch.full((192,), float("nan"))}
    with pytest.raises(Exception, match="NaN or infinity"):
        engine(repaired(written, tmp_path, broken))


def repaired(written: Any, folder: Path, more: dict[str, torch.Tensor] | None = None) -> Path:
    import hashlib

    from safetensors.torch import save_file

    numbers = torch.Generator().manual_seed(0)
    tensors = {
        "model.layers.4.self_attn.o_proj.weight": 0.05 * torch.randn(192, 192, generator=numbers),
        "model.layers.4.self_attn.o_proj.bias": 0.05 * torch.randn(192, generator=numbers),
        "model.layers.4.self_attn.q_proj.weight": 0.05 * torch.randn(192, 192, generator=numbers),
        "model.layers.4.self_attn.own_proj.weight": 0.05 * torch.randn(192, 192, generator=numbers),
    }
    tensors.update(more or {})
    file = folder / "policy.safetensors"
    save_file(tensors, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return written(plan=PLANS["share"], repair={"file": file.name, "sha256": digest, "tensors": sorted(tensors)})


FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
    "gemma3_text": {"sliding_window": 24, "layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 3},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_tokens_of_transformers(family, tmp_path, written):
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        family,
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
        **FAMILIES[family],
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=0.0 if "weight" not in name or parameter.dim() > 1 else 1.0, std=0.15)
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    policy = written(plan={"kv_source": [0, 0, 2, 3, 3, 5], "window": {"layers": [5], "first": 4, "last": 20}})
    numbers = random.Random(2)
    prompts = [[numbers.randrange(3, 300) for _ in range(length)] for length in (9, 70)]
    llm = vllm.LLM(
        str(folder),
        dtype="float32",
        enforce_eager=True,
        max_model_len=256,
        max_num_seqs=4,
        enable_prefix_caching=False,
        skip_tokenizer_init=True,
        hf_overrides=kvshare.vllm.overrides(folder, policy),
    )
    settings = vllm.SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True, detokenize=False)
    found = llm.generate([{"prompt_token_ids": ids} for ids in prompts], settings, use_tqdm=False)
    kvshare.apply_policy(model.eval(), policy)
    greedy = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "pad_token_id": 0}
    for output, ids in zip(found, prompts, strict=True):
        model.generation_config.eos_token_id = None
        expected = model.generate(torch.tensor([ids]), **greedy)[0, len(ids) :].tolist()
        assert list(output.outputs[0].token_ids) == expected


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"kv_source": [*OWN[:-2], 11, 11], "upward": {"sequential": True}}, "sources above them"),
        ({"kv_source": SHARE, "prefill": "exact"}, "exactly"),
        ({"kv_source": SHARE, "window": {"layers": [2], "first": 4, "last": 30}}, "both have a window"),
    ],
)
def test_what_cannot_be_honoured_is_refused(plan, words, written):
    with pytest.raises(Exception, match=words):
        engine(written(plan=plan))


def test_exact_prompts_are_refused_in_chunks(written):
    with pytest.raises(Exception, match="enable-chunked-prefill"):
        engine(written(plan=PLANS["exact"]), enable_chunked_prefill=True)


def test_another_model_is_refused(written):
    with pytest.raises(Exception, match="another model"):
        engine(written(plan=PLANS["share"], model={"num_hidden_layers": LAYERS, "head_dim": 64}))


def test_an_architecture_that_is_not_known_is_refused(tmp_path, written):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(kvshare.UnsupportedError, match="GPT2LMHeadModel"):
        kvshare.vllm.overrides(tmp_path, written(OWN))


def test_a_folder_of_export_runs_as_it_is_and_not_without_the_plugin(prompts, tmp_path, written):
    policy = repaired(written, tmp_path)
    folder = tmp_path / "folder"
    (folder / "kvshare").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).symlink_to(MODEL / name)
    config = json.loads((MODEL / "config.json").read_text())
    config["architectures"] = ["KvshareLlamaForCausalLM"]
    config["kvshare_policy"] = json.loads(policy.read_text())
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "policy.safetensors").rename(folder / "kvshare/policy.safetensors")
    llm = vllm.LLM(str(folder), dtype="float32", enforce_eager=True, max_model_len=512, max_num_seqs=8)
    (folder / "kvshare/policy.safetensors").rename(tmp_path / "policy.safetensors")
    assert generated(llm, prompts) == expected(policy, prompts)
    registered = vllm.ModelRegistry.models.pop("KvshareLlamaForCausalLM")
    try:
        with pytest.raises(Exception, match="KvshareLlamaForCausalLM"):
            vllm.LLM(str(folder), dtype="float32", enforce_eager=True, max_model_len=512)
    finally:
        vllm.ModelRegistry.models["KvshareLlamaForCausalLM"] = registered
