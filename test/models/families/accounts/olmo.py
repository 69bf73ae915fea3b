"""OLMo, OLMo 2 and OLMo 3, from transformers' modular_olmo.py, modular_olmo2.py and modeling_olmo3.py (version 4.57)."""

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rms_norm, rotate_halves, turned, yarn


def shapes(c):
    dim, hidden, kind = c["hidden_size"], c["intermediate_size"], c["model_type"]
    width = dim // c["num_attention_heads"]
    kv = c["num_key_value_heads"] * width
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim]}
    if not c["tie_word_embeddings"]:
        found["lm_head.weight"] = [c["vocab_size"], dim]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        for name, rows in (("q", dim), ("k", kv), ("v", kv), ("o", dim)):
            found[f"{p}.self_attn.{name}_proj.weight"] = [rows, dim]
            if c["attention_bias"]:
                found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
        found |= {f"{p}.mlp.{x}_proj.weight": [hidden, dim] for x in ("gate", "up")}
        found[f"{p}.mlp.down_proj.weight"] = [dim, hidden]
        if kind != "olmo":
            found |= {f"{p}.post_attention_layernorm.weight": [dim], f"{p}.post_feedforward_layernorm.weight": [dim]}
            found |= {f"{p}.self_attn.q_norm.weight": [dim], f"{p}.self_attn.k_norm.weight": [kv]}
    if kind != "olmo":
        found["model.norm.weight"] = [dim]
    return found


def logits(c, w, tokens):
    kind, T = c["model_type"], tokens.shape[1]
    width = c["hidden_size"] // c["num_attention_heads"]
    plain = lambda x: layer_norm(x, None, None, 1e-5)
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"])
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        sliding = kind == "olmo3" and c["layer_types"][i] == "sliding_attention"
        angle, factor = angles(T, width, c["rope_theta"]), 1.0
        if c.get("rope_scaling") and not sliding:
            frequencies, factor = yarn(width, c["rope_theta"], c["rope_scaling"])
            angle = turned(T, frequencies)
        h = plain(x) if kind == "olmo" else x
        q, k, v = [linear(w, f"{p}.self_attn.{n}_proj", h) for n in "qkv"]
        if kind != "olmo":
            q, k = norm(q, f"{p}.self_attn.q_norm"), norm(k, f"{p}.self_attn.k_norm")
        if c.get("clip_qkv"):
            q, k, v = [y.clamp(-c["clip_qkv"], c["clip_qkv"]) for y in (q, k, v)]
        q, k, v = heads(q, c["num_attention_heads"]), heads(k, c["num_key_value_heads"]), heads(v, c["num_key_value_heads"])
        q, k = factor * rotate_halves(q, angle), factor * rotate_halves(k, angle)
        a = linear(w, f"{p}.self_attn.o_proj", attend(q, k, v, window=c["sliding_window"] if sliding else None))
        mlp = lambda y: linear(w, f"{p}.mlp.down_proj", F.silu(linear(w, f"{p}.mlp.gate_proj", y)) * linear(w, f"{p}.mlp.up_proj", y))
        if kind == "olmo":
            x = x + a
            x = x + mlp(plain(x))
        else:
            x = x + norm(a, f"{p}.post_attention_layernorm")
            x = x + norm(mlp(x), f"{p}.post_feedforward_layernorm")
    x = plain(x) if kind == "olmo" else norm(x, "model.norm")
    return x @ w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"].T
