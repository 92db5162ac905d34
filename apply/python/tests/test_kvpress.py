"""Presses of kvpress drop tokens of the layers that own a cache; layers that share follow their source."""

import pytest
import torch
from conftest import ids
from transformers import DynamicCache

from kvshare import UnsupportedError

kvpress = pytest.importorskip("kvpress", exc_type=ImportError)

SHARE = [0, 1, 1, 0]


def pressed(model, press, prompt):
    cache = DynamicCache()
    with press(model):
        model(prompt, past_key_values=cache, use_cache=True)
    return cache


@pytest.mark.parametrize(
    "press",
    [kvpress.KnormPress(0.5), kvpress.StreamingLLMPress(0.5), kvpress.SnapKVPress(0.5, window_size=4)],
    ids=lambda press: type(press).__name__,
)
def test_owners_are_pressed_and_readers_follow(llama, under, press):
    prompt = ids(llama, 24)
    under(llama, SHARE)
    cache = pressed(llama, press, prompt)
    assert [layer.keys.shape[2] for layer in cache.layers] == [12] * 4
    assert all(cache.layers[layer].keys is cache.layers[SHARE[layer]].keys for layer in range(4))
    position = torch.tensor([[24]])
    logits = llama(ids(llama, 1, seed=3), past_key_values=cache, position_ids=position).logits
    assert logits.isfinite().all()
    assert [layer.keys.shape[2] for layer in cache.layers] == [13] * 4


def test_a_press_that_drops_nothing_changes_nothing(llama, under):
    prompt, token = ids(llama, 24), ids(llama, 1, seed=3)
    under(llama, [0, 1, 1, 3], window={"layers": [3], "first": 2, "last": 5})
    plain = DynamicCache()
    llama(prompt, past_key_values=plain, use_cache=True)
    cache = pressed(llama, kvpress.KnormPress(0.0), prompt)
    assert torch.equal(llama(token, past_key_values=cache).logits, llama(token, past_key_values=plain).logits)


def test_windows_are_not_pressed(llama, under):
    under(llama, [0, 1, 2, 3], window={"layers": [3], "first": 2, "last": 5})
    with pytest.raises(UnsupportedError, match="window"):
        pressed(llama, kvpress.KnormPress(0.5), ids(llama, 24))
