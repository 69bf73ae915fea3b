"""Cohere and Cohere 2, from transformers' modular_cohere.py and modular_cohere2.py."""

import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rotate_neighbours


def shapes(c):
    dim, hidden, count, groups = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    width = dim // count
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    if not c.get("tie_word_embeddings", True):
        found["lm_head.weight"] = [c["vocab_size"], dim]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        for name, rows in (("q", dim), ("k", groups * width), ("v", groups * width), ("o", dim)):
            found[f"{p}.self_attn.{name}_proj.weight"] = [rows, dim]
            if c["attention_bias"]:
                found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
        if c.get("use_qk_norm"):
            found |= {f"{p}.self_attn.q_norm.weight": [count, width], f"{p}.self_attn.k_norm.weight": [groups, width]}
        found |= {f"{p}.mlp.{x}_proj.weight": [hidden, dim] for x in ("gate", "up")}
        found |= {f"{p}.mlp.down_proj.weight": [dim, hidden], f"{p}.input_layernorm.weight": [dim]}
    return found


def logits(c, w, tokens):
    eps, width = c["layer_norm_eps"], c["hidden_size"] // c["num_attention_heads"]
    norm = lambda x, key: layer_norm(x, w[f"{key}.weight"], None, eps)
    angle = angles(tokens.shape[1], width, c["rope_theta"])
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        if c.get("use_qk_norm"):
            q, k = [layer_norm(y, None, None, eps) * w[f"{p}.self_attn.{n}_norm.weight"][:, None] for n, y in (("q", q), ("k", k))]
        window = c["sliding_window"] if c["model_type"] == "cohere2" and c["layer_types"][i] == "sliding_attention" else None
        if c["model_type"] == "cohere" or window:
            q, k = rotate_neighbours(q, angle), rotate_neighbours(k, angle)
        a = linear(w, f"{p}.self_attn.o_proj", attend(q, k, v, window=window))
        m = linear(w, f"{p}.mlp.down_proj", F.silu(linear(w, f"{p}.mlp.gate_proj", h)) * linear(w, f"{p}.mlp.up_proj", h))
        x = x + a + m
    y = norm(x, "model.norm") @ w["model.embed_tokens.weight" if c.get("tie_word_embeddings", True) else "lm_head.weight"].T
    return y * c["logit_scale"]
