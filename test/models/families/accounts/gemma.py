"""Gemma, Gemma 2 and Gemma 3 (text), from transformers' modeling_gemma.py, modeling_gemma2.py and modeling_gemma3.py."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, linear, rms_norm, rotate_halves


def shapes(c):
    dim, hidden, width = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= {
            f"{p}.self_attn.q_proj.weight": [q, dim],
            f"{p}.self_attn.k_proj.weight": [kv, dim],
            f"{p}.self_attn.v_proj.weight": [kv, dim],
            f"{p}.self_attn.o_proj.weight": [dim, q],
            f"{p}.mlp.gate_proj.weight": [hidden, dim],
            f"{p}.mlp.up_proj.weight": [hidden, dim],
            f"{p}.mlp.down_proj.weight": [dim, hidden],
            f"{p}.input_layernorm.weight": [dim],
            f"{p}.post_attention_layernorm.weight": [dim],
        }
        if c["model_type"] != "gemma":
            found |= {f"{p}.pre_feedforward_layernorm.weight": [dim], f"{p}.post_feedforward_layernorm.weight": [dim]}
        if c["model_type"] == "gemma3_text":
            found |= {f"{p}.self_attn.{x}_norm.weight": [width] for x in "qk"}
    return found


def logits(c, w, tokens):
    kind, eps, width = c["model_type"], c["rms_norm_eps"], c["head_dim"]
    norm = lambda x, key: rms_norm(x, 1 + w[f"{key}.weight"], eps)
    scale = 1 / math.sqrt(width if kind == "gemma" else c["query_pre_attn_scalar"])
    x = w["model.embed_tokens.weight"][tokens] * math.sqrt(c["hidden_size"])
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        sliding = kind != "gemma" and c["layer_types"][i] == "sliding_attention"
        theta = c["rope_local_base_freq"] if kind == "gemma3_text" and sliding else c["rope_theta"]
        angle = angles(tokens.shape[1], width, theta, 1 / 8 if kind == "gemma3_text" and not sliding and c.get("rope_scaling") else 1.0)
        h = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        if kind == "gemma3_text":
            q, k = norm(q, f"{p}.self_attn.q_norm"), norm(k, f"{p}.self_attn.k_norm")
        a = attend(rotate_halves(q, angle), rotate_halves(k, angle), v, scale, window=c["sliding_window"] if sliding else None, cap=c.get("attn_logit_softcapping"))
        a = linear(w, f"{p}.self_attn.o_proj", a)
        mlp = lambda y: linear(w, f"{p}.mlp.down_proj", F.gelu(linear(w, f"{p}.mlp.gate_proj", y), approximate="tanh") * linear(w, f"{p}.mlp.up_proj", y))
        if kind == "gemma":
            x = x + a
            x = x + mlp(norm(x, f"{p}.post_attention_layernorm"))
        else:
            x = x + norm(a, f"{p}.post_attention_layernorm")
            x = x + norm(mlp(norm(x, f"{p}.pre_feedforward_layernorm")), f"{p}.post_feedforward_layernorm")
    y = norm(x, "model.norm") @ w["model.embed_tokens.weight"].T
    cap = c.get("final_logit_softcapping")
    return cap * torch.tanh(y / cap) if cap else y
