"""lm-evaluation-harness measures a model under a policy as it measures any other."""

import pytest
import torch
from conftest import RESOURCES
from transformers import AutoModelForCausalLM, AutoTokenizer

import kvshare

huggingface = pytest.importorskip("lm_eval.models.huggingface")
instance = pytest.importorskip("lm_eval.api.instance")

BUILTIN = RESOURCES.parents[3] / "models/builtin"
PAIRS = [("It was a fine", " morning in the spring"), ("She did not", " answer him"), ("He", " went away")]


@pytest.fixture
def model(written):
    model = AutoModelForCausalLM.from_pretrained(BUILTIN, dtype=torch.float32)
    layers = list(range(model.config.num_hidden_layers))
    shared = [layer - (layer % 4 == 3) for layer in layers]
    return kvshare.apply_policy(model, written(shared, {"window": {"layers": [4, 5], "first": 2, "last": 6}}))


def test_scores_and_texts_are_those_of_the_model_under_its_policy(model):
    tokenizer = AutoTokenizer.from_pretrained(BUILTIN)
    harness = huggingface.HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, device="cpu")
    asked = [
        instance.Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index)
        for index, pair in enumerate(PAIRS)
    ]
    for (context, continuation), (found, _) in zip(PAIRS, harness.loglikelihood(asked), strict=True):
        start = len(harness.tok_encode(context))
        text = torch.tensor([harness.tok_encode(context + continuation)])
        scores = model(text).logits.log_softmax(-1)[0, start - 1 : -1]
        expected = scores.gather(1, text[0, start:, None]).sum()
        assert abs(found - float(expected)) < 1e-3
    options = {"until": [], "max_gen_toks": 8, "do_sample": False}
    asked = [
        instance.Instance(request_type="generate_until", doc={}, arguments=(context, dict(options)), idx=index)
        for index, (context, _) in enumerate(PAIRS)
    ]
    for (context, _), found in zip(PAIRS, harness.generate_until(asked), strict=True):
        text = torch.tensor([harness.tok_encode(context)])
        new = model.generate(text, max_new_tokens=8, do_sample=False)[0, text.shape[1] :]
        assert found.strip() == tokenizer.decode(new, skip_special_tokens=True).strip()
