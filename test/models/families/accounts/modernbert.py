"""ModernBERT, from transformers' modular_modernbert.py."""

import torch
import torch.nn.functional as F
from encoder import pooled
from parts import angles, heads, layer_norm, linear, rotate_halves


def shapes(c):
    dim, hidden, vocab, kind = c["hidden_size"], c["intermediate_size"], c["vocab_size"], c["architectures"][0]
    p = "" if kind.endswith("Model") else "model."
    found = {f"{p}embeddings.tok_embeddings.weight": [vocab, dim]}

    def map_of(key, rows, columns, biased):
        found[f"{key}.weight"] = [rows, columns]
        if biased:
            found[f"{key}.bias"] = [rows]

    def norm(key):
        found[f"{key}.weight"] = [dim]
        if c["norm_bias"]:
            found[f"{key}.bias"] = [dim]

    norm(f"{p}embeddings.norm")
    norm(f"{p}final_norm")
    for i in range(c["num_hidden_layers"]):
        at = f"{p}layers.{i}"
        if i > 0:
            norm(f"{at}.attn_norm")
        map_of(f"{at}.attn.Wqkv", 3 * dim, dim, c["attention_bias"])
        map_of(f"{at}.attn.Wo", dim, dim, c["attention_bias"])
        norm(f"{at}.mlp_norm")
        map_of(f"{at}.mlp.Wi", 2 * hidden, dim, c["mlp_bias"])
        map_of(f"{at}.mlp.Wo", dim, hidden, c["mlp_bias"])
    if not kind.endswith("Model"):
        map_of("head.dense", dim, dim, c["classifier_bias"])
        norm("head.norm")
    if kind.endswith("SequenceClassification"):
        map_of("classifier", len(c["id2label"]), dim, True)
    if kind.endswith("MaskedLM"):
        found["decoder.bias"] = [vocab]
    return found


def layers_of(c):
    """Whether each layer sees all tokens, its base, and how far a token sees otherwise."""
    types = c.get("layer_types") or ["sliding_attention" if i % c["global_attn_every_n_layers"] else "full_attention" for i in range(c["num_hidden_layers"])]
    parameters = c.get("rope_parameters") or {"full_attention": {"rope_theta": c.get("global_rope_theta")}, "sliding_attention": {"rope_theta": c.get("local_rope_theta")}}
    return [(t == "full_attention", parameters[t]["rope_theta"], c["local_attention"] // 2) for t in types]


def hidden_states(c, w, tokens):
    p = "" if c["architectures"][0].endswith("Model") else "model."
    norm = lambda y, key: layer_norm(y, w[f"{key}.weight"], w.get(f"{key}.bias"), c["norm_eps"])
    act = {"gelu": F.gelu, "silu": F.silu}[c["hidden_activation"]]
    x = norm(w[f"{p}embeddings.tok_embeddings.weight"][tokens], f"{p}embeddings.norm")
    T, count = tokens.shape[1], c["num_attention_heads"]
    for i, (isFull, theta, side) in enumerate(layers_of(c)):
        at = f"{p}layers.{i}"
        q, k, v = [heads(part, count) for part in linear(w, f"{at}.attn.Wqkv", norm(x, f"{at}.attn_norm") if i else x).chunk(3, -1)]
        angle = angles(T, q.shape[-1], theta)
        scores = rotate_halves(q, angle) @ rotate_halves(k, angle).transpose(-1, -2) / q.shape[-1] ** 0.5
        if not isFull:
            distance = (torch.arange(T)[:, None] - torch.arange(T)).abs()
            scores = scores.masked_fill(distance > side, -torch.inf)
        x = x + linear(w, f"{at}.attn.Wo", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        inner, gate = linear(w, f"{at}.mlp.Wi", norm(x, f"{at}.mlp_norm")).chunk(2, -1)
        x = x + linear(w, f"{at}.mlp.Wo", act(inner) * gate)
    return norm(x, f"{p}final_norm")


def results(c, w, tokens, sentences):
    kind = c["architectures"][0]
    x = hidden_states(c, w, tokens)
    if sentences:
        return {"hidden": x, "pooled": pooled(x, sentences)}
    row = x.mean(1) if c.get("classifier_pooling") == "mean" else x[:, 0]
    if kind.endswith("Model"):
        return {"hidden": x, "pooled": row}
    act = {"gelu": F.gelu, "silu": F.silu}[c["classifier_activation"]]
    head = lambda y: layer_norm(act(linear(w, "head.dense", y)), w["head.norm.weight"], w.get("head.norm.bias"), c["norm_eps"])
    if kind.endswith("MaskedLM"):
        return {"logits": head(x) @ w["model.embeddings.tok_embeddings.weight"].T + w["decoder.bias"]}
    return {"logits": linear(w, "classifier", head(row))}
