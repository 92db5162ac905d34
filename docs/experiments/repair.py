"""Experiments on what a repair could refit: the ones of docs/repair.md, "Experiments".

    python docs/experiments/repair.py MODEL.gguf CALIBRATION.txt TEXT.txt[,TEXT.txt] --tokens 22528 base queries merge=0.3

Prints for each experiment the perplexity of every text against the unshared model (12 windows of 512 tokens). Written for
SmolLM2-135M and for trying things out, not for use: kvshare itself computes what was kept. Needs torch, transformers, gguf.
"""

import argparse
import math
import os
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BF = torch.bfloat16
CHUNK = 16  # windows that run through a layer together
torch.set_grad_enabled(False)


@dataclass
class Edges:
    """What a shared layer keeps of its own: the last tokens and the first ones (sinks). Between them it reads its source, by
    queries of their own, or, not foreign, nothing; apart: the output projection has columns of its own for what is foreign;
    beside: they begin at zero, and what the layer has of its own is weighed as if there were nothing else."""

    last: int
    sinks: int = 0
    foreign: bool = True
    apart: bool = False
    beside: bool = False

    def near(self, t):
        row, col = torch.arange(t)[:, None], torch.arange(t)[None]
        return ((row - col < self.last) | (col < self.sinks)) & (col <= row)


class Model:
    """The layers of a Llama checkpoint, run one by one. Letters: B windows, T tokens, E hidden size, H heads, D head size."""

    def __init__(self, file):
        folder, name = os.path.split(os.path.abspath(file))
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name).float()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        c, sd = model.config, {k: v.clone() for k, v in model.state_dict().items()}
        self.layers, self.e = c.num_hidden_layers, c.hidden_size
        self.hq, self.hk = c.num_attention_heads, c.num_key_value_heads
        self.d, self.g, self.eps = self.e // self.hq, self.hq // self.hk, c.rms_norm_eps
        names = dict(n1="input_layernorm", n2="post_attention_layernorm", q="self_attn.q_proj", k="self_attn.k_proj",
                     v="self_attn.v_proj", o="self_attn.o_proj", g="mlp.gate_proj", u="mlp.up_proj", d="mlp.down_proj")
        self.p = [{s: sd[f"model.layers.{i}.{n}.weight"] for s, n in names.items()} for i in range(self.layers)]
        self.emb, self.fn = sd["model.embed_tokens.weight"], sd["model.norm.weight"]
        theta = getattr(c, "rope_theta", None) or c.rope_parameters["rope_theta"]
        self.inv = 1.0 / (theta ** (torch.arange(0, self.d, 2).float() / self.d))

    def windows(self, file, count, length):
        ids = self.tokenizer(open(file, errors="replace").read(), add_special_tokens=False)["input_ids"]
        ids = torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
        return ids[torch.linspace(0, len(ids) - 1, count).long()] if count < len(ids) else ids

    def rope(self, x, back=False):
        a = torch.outer(torch.arange(x.shape[1]).float(), self.inv)
        c, s = (torch.cat([f(a)] * 2, -1)[None, :, None] for f in (torch.cos, torch.sin))
        turned = torch.cat([-x[..., self.d // 2:], x[..., : self.d // 2]], -1) * s
        return x * c - turned if back else x * c + turned

    def norm(self, x, w):
        return torch.rms_norm(x, [x.shape[-1]], w, self.eps)

    def kv(self, h, p):
        b, t, _ = h.shape
        return self.rope(mm(h, p["k"]).view(b, t, self.hk, self.d)), mm(h, p["v"]).view(b, t, self.hk, self.d)

    def queries(self, h, w):
        return self.rope(mm(h, w).view(*h.shape[:2], self.hq, self.d))

    def wide(self, x):  # B, T, Hk, D -> B, Hq, T, D
        return x.transpose(1, 2).repeat_interleave(self.g, 1)

    def heads(self, h, k, v, p, edges=None):
        """What enters the output projection."""
        b, t, _ = h.shape
        q = self.queries(h, p["q"]).transpose(1, 2).to(BF)
        if not edges:
            y = torch.nn.functional.scaled_dot_product_attention(q, self.wide(k).to(BF), self.wide(v).to(BF), is_causal=True)
            return y.transpose(1, 2).reshape(b, t, -1).float()
        ko, vo = self.kv(h, p)
        near = edges.near(t)
        far = torch.ones(t, t).tril().bool() & ~near & edges.foreign
        q0 = self.queries(h, p.get("q0", p["q"])).transpose(1, 2).to(BF)
        s = torch.where(near, q0 @ self.wide(ko).to(BF).transpose(2, 3), q @ self.wide(k).to(BF).transpose(2, 3)) / math.sqrt(self.d)
        a = s.float().masked_fill(~(near | far), float("-inf")).softmax(-1).to(BF)
        own = s.float().masked_fill(~near, float("-inf")).softmax(-1).to(BF) if edges.beside else a * near
        parts = [own @ self.wide(vo).to(BF), (a * far) @ self.wide(v).to(BF)]
        parts = parts if edges.apart else [parts[0] + parts[1]]
        return torch.cat([y.transpose(1, 2).reshape(b, t, -1) for y in parts], -1).float()

    def inner(self, x, p):
        h = self.norm(x, p["n2"])
        return torch.nn.functional.silu(mm(h, p["g"])) * mm(h, p["u"])

    def loss(self, ids, m, params, edges=None, joint=None):
        total = count = 0
        for c in chunks(len(ids), max(1, 2048 // ids.shape[1])):
            x, cache = self.emb[ids[c]], joint.caches(ids[c]) if joint else {}
            for i, p in enumerate(params):
                h = self.norm(x, p["n1"])
                if m[i] == i and not joint:
                    cache[i] = self.kv(h, p)
                k, v = cache[m[i]][0], cache[p.get("values", m[i])][1]
                y = linear(self.heads(h, k, v, p, edges if m[i] != i else None), p["o"], p.get("ob"))
                x = x + (y + mm(h, p["x"]) if "x" in p else y)
                x = x + linear(self.inner(x, p), p["d"], p.get("db"))
            logits = mm(self.norm(x, self.fn), self.emb)[:, :-1]
            flat = logits.reshape(-1, logits.shape[-1])
            total += torch.nn.functional.cross_entropy(flat, ids[c][:, 1:].reshape(-1), reduction="sum").item()
            count += ids[c][:, 1:].numel()
        return total / count


def mm(x, w):
    return torch.nn.functional.linear(x.to(BF), w.to(BF)).float()


def linear(x, w, b=None):
    return mm(x, w) if b is None else mm(x, w) + b


def chunks(n, size):
    return [slice(a, min(n, a + size)) for a in range(0, n, size)]


class Reference:
    """Residual streams of the unshared model: behind attention (ra) and behind the layer (ro)."""

    def __init__(self, model, ids):
        self.model, self.ids, self.ra, self.ro = model, ids, [], []
        x = model.emb[ids].clone()
        for p in model.p:
            a = torch.empty_like(x)
            for c in chunks(len(x), CHUNK):
                h = model.norm(x[c], p["n1"])
                a[c] = x[c] + mm(model.heads(h, *model.kv(h, p), p), p["o"])
                x[c] = a[c] + mm(model.inner(a[c], p), p["d"])
            self.ra.append(a.to(BF))
            self.ro.append(x.to(BF))

    def before(self, i, c=slice(None)):
        return self.model.emb[self.ids[c]].clone() if i == 0 else self.ro[i - 1][c].float()


def solve(gram, cross, start, strength, first):
    """Ridge towards start [E, F]; the last row of the system is the bias; two blocks of inputs are regularised by their own size."""
    a, b = gram.double().clone(), cross.double().clone()
    f, diag = a.shape[0] - 1, a.diagonal()
    ridge = torch.cat([torch.full((n,), strength * diag[lo: lo + n].mean().item()) for lo, n in ((0, first), (first, f - first)) if n])
    diag[:f] += ridge.double()
    b[:f] += ridge.double()[:, None] * start.T.double()
    diag[f] *= 1 + 1e-6
    s = torch.linalg.solve(a, b)
    return s[:f].T.float().contiguous(), s[f].float()


def fit_queries(ref, i, x, keys, steps, iterations, strength=1e-2, most=64, edges=None):
    """Gauss-Newton on the divergence of attention; see QueryFit.java. What a layer keeps of its own is not fitted to."""
    m = ref.model
    t, pick = x.shape[1], torch.linspace(0, len(x) - 1, min(len(x), most)).long()
    seen = torch.ones(t, t).tril().bool()
    start = m.p[i]["q"]
    near = edges.near(t) if edges else torch.zeros(t, t).bool()

    def scores(w, h, k):
        q = m.rope((h @ w.to(BF).T).float().view(*h.shape[:2], m.hq, m.d)).to(BF).transpose(1, 2)
        return (q @ m.wide(k).transpose(2, 3) / math.sqrt(m.d)).float()

    def gather(r, h, k):
        dq = (r.to(BF) @ m.wide(k) / math.sqrt(m.d)).transpose(1, 2).float()
        return (m.rope(dq, back=True).reshape(-1, start.shape[0]).to(BF).T @ h.reshape(-1, m.e)).float()

    def logits(w, h, k, own):
        return scores(w, h, k) if own is None else torch.where(near, own, scores(w, h, k))

    def logp(w, h, k, own=None):
        return logits(w, h, k, own).masked_fill(~seen, float("-inf")).log_softmax(-1)

    data = []
    for c in chunks(len(pick), 4):
        h0 = m.norm(ref.before(i, pick[c]), m.p[i]["n1"]).to(BF)
        wanted = logp(start, h0, m.kv(h0.float(), m.p[i])[0].to(BF))
        h = m.norm(x[pick[c]], m.p[i]["n1"]).to(BF)
        own = scores(start, h, m.kv(h.float(), m.p[i])[0].to(BF)) if edges else None
        data.append((wanted, h, keys[pick[c]].to(BF), own))

    def apart(w):
        s = sum((a.exp() * (a - logp(w, h, k, own)).masked_fill(~seen, 0)).sum().item() for a, h, k, own in data)
        return s / len(pick) / t / m.hq

    w, reached, ridge = start.clone(), apart(start), None
    for step in range(steps):
        weights, slope = [], torch.zeros_like(w)
        for a, h, k, own in data:
            if step == 0:
                d = (a - logits(w, h, k, own)).masked_fill(~seen, 0)
                d = (d - (a.exp() * d).sum(-1, keepdim=True)).masked_fill(~seen, 0)
                slope += gather((a.exp() * d).masked_fill(near, 0), h, k)
                weights.append(a.exp())
            else:
                p = logp(w, h, k, own).exp()
                slope += gather((a.exp() - p).masked_fill(near, 0), h, k)
                weights.append((a.exp() + p) / 2)

        def curvature(v):
            y = (ridge or 0) * v
            for f, (_, h, k, _own) in zip(weights, data):
                r = (f * scores(v, h, k)).masked_fill(near, 0)
                y = y + gather((r - f * r.sum(-1, keepdim=True)).masked_fill(near, 0), h, k)
            return y

        if ridge is None:
            z = torch.randn_like(w)
            ridge = strength * ((z * curvature(z)).sum() / z.numel()).item()
        slope -= ridge * (w - start)
        change, r, p = torch.zeros_like(w), slope.clone(), slope.clone()
        for _ in range(iterations if step == 0 else iterations // 2):
            ap = curvature(p)
            rr = r.pow(2).sum()
            length = rr / (p * ap).sum()
            change += length * p
            r -= length * ap
            p = r + r.pow(2).sum() / rr * p
        for length in (1, 0.5, 0.25):
            now = apart(w + length * change)
            if now < reached:
                w, reached = w + length * change, now
                break
        else:
            break
    return w


class Joint:
    """Keys (before rotation) and values of groups of layers in a common basis, found on the calibration text: the leading
    principal directions of the concatenated vectors of a token. Every layer then reads the cache of the unshared model in
    that basis: what decoding behind an exact prefill would read."""

    def __init__(self, ref, group, keep):
        self.model, self.group, self.bases = ref.model, group, []
        m = ref.model
        for low in range(0, m.layers, group):
            members = range(low, min(m.layers, low + group))
            for s in "kv":
                gram = 0
                for c in chunks(len(ref.ids), CHUNK):
                    x = torch.cat([mm(m.norm(ref.before(i, c), m.p[i]["n1"]), m.p[i][s]).flatten(0, 1) for i in members], 1).double()
                    gram = gram + x.T @ x
                vectors = torch.linalg.eigh(gram)[1].float()
                self.bases.append(vectors[:, -int(keep * len(vectors)):])

    def caches(self, ids):
        m, x, kept = self.model, self.model.emb[ids], []
        for p in m.p:
            h = m.norm(x, p["n1"])
            kept.append({s: mm(h, p[s]) for s in "kv"})
            x = x + mm(m.heads(h, *m.kv(h, p), p), p["o"])
            x = x + mm(m.inner(x, p), p["d"])
        for n, low in enumerate(range(0, m.layers, self.group)):
            for s, basis in zip("kv", self.bases[2 * n: 2 * n + 2]):
                whole = torch.cat([part[s] for part in kept[low: low + self.group]], -1)
                near = (whole @ basis @ basis.T).split(m.hk * m.d, -1)
                for part, value in zip(kept[low: low + self.group], near):
                    part[s] = value.unflatten(-1, (m.hk, m.d))
        return {i: (m.rope(part["k"]), part["v"]) for i, part in enumerate(kept)}


def merge_values(ref, m, alpha):
    """One value projection for an owner and its readers: the best of its rank for what all of them write, readers weighted by alpha."""
    model, out = ref.model, {}
    for j in sorted({s for i, s in enumerate(m) if s != i}):
        members = [i for i in range(model.layers) if m[i] == j]
        h = {i: model.norm(ref.before(i), model.p[i]["n1"]).reshape(-1, model.e).double() for i in members}
        cov = h[j].T @ h[j] / len(h[j])
        values, vectors = torch.linalg.eigh(cov)
        values = values.clamp_min(values.max() * 1e-7)
        root, back = (vectors * values.sqrt()) @ vectors.T, (vectors * values.rsqrt()) @ vectors.T
        eye = torch.eye(model.e).double()
        ridge = cov + 1e-3 * cov.diagonal().mean() * eye
        to = {i: eye if i == j else torch.linalg.solve(ridge, h[j].T @ h[i] / len(h[j])).T for i in members}
        weight = {i: (alpha if i != j else 1) * (1 / ref.ra[i].float().pow(2).sum(-1)).mean().sqrt().item() for i in members}
        value, output = torch.zeros(model.hk * model.d, model.e), {i: model.p[i]["o"].clone() for i in members}
        for head in range(model.hk):
            rows = slice(head * model.d, (head + 1) * model.d)
            parts = {(i, q): weight[i] * model.p[i]["o"][:, q * model.d:(q + 1) * model.d].double() @ model.p[i]["v"][rows].double() @ to[i] @ root
                     for i in members for q in range(head * model.g, (head + 1) * model.g)}
            basis = torch.linalg.eigh(sum(s.T @ s for s in parts.values()))[1][:, -model.d:]
            value[rows] = (basis.T @ back).float()
            for (i, q), s in parts.items():
                output[i][:, q * model.d:(q + 1) * model.d] = (s @ basis / weight[i]).float()
        out[j] = (value, output)
    return out


def best_values(ref, i, x, keys, candidates, cache, p, strength, errors=None):
    """The layer whose values leave the least error behind a refit, on every eighth window."""
    model, pick = ref.model, torch.arange(0, len(x), 8)
    errors = {} if errors is None else errors
    h, r = model.norm(x[pick], p["n1"]), ref.ra[i][pick].float()
    w, target = 1 / r.pow(2).sum(-1).flatten(), (r - x[pick]).flatten(0, 1)
    for j in candidates:
        entering = model.heads(h, keys[pick], cache[j][1][pick], p).flatten(0, 1)
        inputs = torch.cat([entering, h.flatten(0, 1), torch.ones(len(w), 1)], 1)
        gram, cross = (inputs * w[:, None]).T @ inputs, (inputs * w[:, None]).T @ target
        fitted, bias = solve(gram, cross, torch.cat([p["o"], torch.zeros(model.e, model.e)], 1), strength, entering.shape[1])
        errors[j] = (w * (inputs[:, :-1] @ fitted.T + bias - target).pow(2).sum(1)).mean().item()
    return min(errors, key=errors.get)


def walk(ref, m, own_token=True, own_above=False, above=True, down=False, edges=None, merge=None, steps=0, iterations=15, strength=1e-1,
         separate=0, source=0):
    model, x = ref.model, None
    merged = merge_values(ref, m, merge) if merge else {}
    low = min([i for i in range(model.layers) if m[i] != i] + list(merged))
    sources, cache, params = {s for i, s in enumerate(m) if s != i}, {}, [dict(p) for p in model.p]
    m = list(m)
    for j in [i for i in range(model.layers) if m[i] == i] if separate or source else sources:
        if j < low:
            cache[j] = model.kv(model.norm(ref.before(j), model.p[j]["n1"]), model.p[j])
    x = ref.before(low)
    for i in range(low, model.layers):
        p, shared = params[i], m[i] != i
        if m[i] in merged:
            p["o"] = merged[m[i]][1][i]
            if not shared:
                p["v"] = merged[i][0]
        if shared and source:
            errors = {}
            for j in [j for j in cache if cache[j]][-source:]:
                q = fit_queries(ref, i, x, cache[j][0], 1, 8, most=16)
                best_values(ref, i, x, cache[j][0], [j], cache, dict(p, q=q), strength, errors)
            m[i] = min(errors, key=errors.get)
            print("  layer", i, {j: round(e, 5) for j, e in errors.items()}, flush=True)
        if shared and steps:
            p["q0"] = p["q"]
            p["q"] = fit_queries(ref, i, x, cache[m[i]][0], steps, iterations, edges=edges)
        if shared and separate:
            p["values"] = best_values(ref, i, x, cache[m[i]][0], [j for j in cache if cache[j]][-separate:], cache, p, strength)
            print("  layer", i, "values of", p["values"], flush=True)
        apart = shared and edges and edges.apart
        if apart:
            p["o"] = torch.cat([p["o"], p["o"] * (not edges.beside)], 1)
        entering, written = torch.empty(*x.shape[:2], model.hq * model.d * (2 if apart else 1)), []
        for c in chunks(len(x), CHUNK):
            h = model.norm(x[c], p["n1"])
            k, v = (cache[m[i]][0][c], cache[p.get("values", m[i])][1][c]) if shared else model.kv(h, p)
            if i in sources or (separate or source) and not shared:
                written.append((k, v))
            entering[c] = model.heads(h, k, v, p, edges if shared else None)
        if written:
            cache[i] = tuple(torch.cat(part) for part in zip(*written))
        extra = own_token and (shared or own_above or i in merged)
        width = entering.shape[-1]
        if shared or above:
            gram = cross = 0
            for c in chunks(len(x), CHUNK):
                r = ref.ra[i][c].float()
                w = 1 / r.pow(2).sum(-1).flatten()
                parts = [entering[c].flatten(0, 1)] + ([model.norm(x[c], p["n1"]).flatten(0, 1)] if extra else [])
                inputs = torch.cat(parts + [torch.ones(len(w), 1)], 1)
                gram = gram + (inputs * w[:, None]).T @ inputs
                cross = cross + (inputs * w[:, None]).T @ (r - x[c]).flatten(0, 1)
            start = torch.cat([p["o"], torch.zeros(model.e, model.e)], 1) if extra else p["o"]
            fitted, p["ob"] = solve(gram, cross, start, strength, width)
            p["o"] = fitted[:, :width].contiguous()
            if extra:
                p["x"] = fitted[:, width:].contiguous()
        gram = cross = 0
        for c in chunks(len(x), CHUNK):
            y = linear(entering[c], p["o"], p.get("ob"))
            x[c] += y + mm(model.norm(x[c], p["n1"]), p["x"]) if "x" in p else y
            if down:
                r = ref.ro[i][c].float()
                w = 1 / r.pow(2).sum(-1).flatten()
                inputs = torch.cat([model.inner(x[c], p).flatten(0, 1), torch.ones(len(w), 1)], 1)
                gram = gram + (inputs * w[:, None]).T @ inputs
                cross = cross + (inputs * w[:, None]).T @ (r - x[c]).flatten(0, 1)
        if down:
            p["d"], p["db"] = solve(gram, cross, p["d"], strength, p["d"].shape[1])
        for c in chunks(len(x), CHUNK):
            x[c] += linear(model.inner(x[c], p), p["d"], p.get("db"))
    return params, m


def edges(value, **more):
    return Edges(*(int(n) for n in value.split("+")), **more)


EXPERIMENTS = {
    "shared-only": lambda v: dict(own_token=False, above=False),
    "above": lambda v: dict(own_token=False),
    "base": lambda v: dict(),
    "own-above": lambda v: dict(own_above=True),
    "down": lambda v: dict(down=True),
    "window": lambda v: dict(edges=edges(v)),
    "queries-window": lambda v: dict(steps=3, edges=edges(v)),
    "queries-window-apart": lambda v: dict(steps=3, edges=edges(v, apart=True)),
    "queries-window-beside": lambda v: dict(steps=3, own_token=False, edges=edges(v, apart=True, beside=True)),
    "window-alone": lambda v: dict(own_token=False, edges=edges(v, foreign=False)),
    "merge": lambda v: dict(merge=float(v)),
    "queries": lambda v: dict(steps=int(v or 3)),
    "separate": lambda v: dict(separate=int(v or 3)),
    "queries-separate": lambda v: dict(steps=3, separate=int(v or 3)),
    "source": lambda v: dict(source=int(v or 30), steps=1),
    "joint": lambda v: dict(zip(("group", "keep"), (int(v.split(":")[0]), float(v.split(":")[1])))),
    "queries-merge": lambda v: dict(steps=3, merge=float(v)),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("calibration")
    parser.add_argument("texts")
    parser.add_argument("--tokens", type=int, default=22528)
    parser.add_argument("--length", type=int, default=256, help="tokens of a calibration window")
    parser.add_argument("--long", action="store_true", help="measure 4 windows of 2048 tokens of each text as well")
    parser.add_argument("--shared", default="5,6,7,15,17,24,28,29", help="layers that read the nearest lower one with a cache")
    parser.add_argument("experiments", nargs="+", help="NAME or NAME=VALUE of " + ", ".join(EXPERIMENTS) + "; a window is LAST or LAST+FIRST")
    options = parser.parse_args()
    model = Model(options.model)
    shared, m = {int(i) for i in options.shared.split(",")}, []
    for i in range(model.layers):
        m.append(m[-1] if i in shared else i)
    ref = Reference(model, model.windows(options.calibration, options.tokens // options.length, options.length))
    shapes = ((12, 512), (4, 2048)) if options.long else ((12, 512),)
    texts = [model.windows(file, n, t)[:n] for n, t in shapes for file in options.texts.split(",")]
    base = [model.loss(ids, list(range(model.layers)), model.p) for ids in texts]
    print("unshared", [round(math.exp(b), 3) for b in base], flush=True)
    for experiment in options.experiments:
        name, _, value = experiment.partition("=")
        settings = EXPERIMENTS[name](value)
        if name == "joint":
            joint = Joint(ref, **settings)
            losses = [model.loss(ids, list(range(model.layers)), model.p, joint=joint) for ids in texts]
        else:
            params, m = walk(ref, m, **settings)
            losses = [model.loss(ids, m, params, settings.get("edges")) for ids in texts]
        ratios = [math.exp(loss - b) for loss, b in zip(losses, base)]
        print(experiment, [round(r, 3) for r in ratios], flush=True)


if __name__ == "__main__":
    main()
