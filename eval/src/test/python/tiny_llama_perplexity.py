"""Perplexity of the tiny llama by transformers: the numbers in EvaluatorTest.

Run at the repository root. They were made with transformers 5.23.0 and torch 2.7.1 on the CPU.
"""

import torch
from transformers import AutoModelForCausalLM

MODEL = "apply/src/test/resources/goldens/architectures/llama"
WINDOW, WINDOWS = 16, 6

model = AutoModelForCausalLM.from_pretrained(
    MODEL, dtype=torch.float32, attn_implementation="eager"
).eval()
ids = [(i * i * 7 + i * 13 + 5) % 253 + 3 for i in range(WINDOW * WINDOWS)]
losses = []
with torch.no_grad():
    for start in range(0, len(ids), WINDOW):
        x = torch.tensor([ids[start : start + WINDOW]])
        log_p = torch.log_softmax(model(x).logits.double(), -1)[0, :-1]
        losses.append(-log_p.gather(1, x[0, 1:, None]).mean())
losses = torch.stack(losses)
perplexity = losses.mean().exp()
print("perplexity", perplexity.item())

# With overlap, as the page "Perplexity of fixed-length models" of transformers has it.
LENGTH, STRIDE, loss, count, end = 32, 12, 0, 0, 0
with torch.no_grad():
    for start in range(0, len(ids) - LENGTH + 1, STRIDE):
        x = torch.tensor([ids[start : start + LENGTH]])
        labels = x.clone()
        labels[:, : max(0, end - start)] = -100
        end = start + LENGTH
        scored = int((labels[:, 1:] != -100).sum())
        loss += model(x, labels=labels).loss.double() * scored
        count += scored
print("with overlap", (loss / count).exp().item(), count)
print("standard error", (perplexity * losses.std() / WINDOWS**0.5).item())
