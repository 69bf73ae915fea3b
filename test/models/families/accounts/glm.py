"""GLM and GLM-4-0414, from transformers' modeling_glm.py and modular_glm4.py."""

import torch.nn.functional as F
from parts import angles, attend, heads, linear, rms_norm, rotate_first, rotate_neighbours


def shapes(c):
    dim, hidden, width = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "lm_head.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["post_self_attn_layernorm", "post_mlp_layernorm"] if c["model_type"] == "glm4" else []
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            found[f"{p}.self_attn.{name}_proj.weight"] = [rows, dim]
            if c["attention_bias"]:
                found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
        found |= {f"{p}.self_attn.o_proj.weight": [dim, q], f"{p}.mlp.gate_up_proj.weight": [2 * hidden, dim], f"{p}.mlp.down_proj.weight": [dim, hidden]}
        found |= {f"{p}.{name}.weight": [dim] for name in norms}
    return found


def logits(c, w, tokens):
    norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c["rms_norm_eps"])
    behind = norm if c["model_type"] == "glm4" else lambda y, key: y
    angle = angles(tokens.shape[1], int(c["head_dim"] * c["partial_rotary_factor"]), c["rope_theta"])
    rotate = lambda y: rotate_first(y, angle, rotate_neighbours)
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        a = linear(w, f"{p}.self_attn.o_proj", attend(rotate(q), rotate(k), v))
        x = x + behind(a, f"{p}.post_self_attn_layernorm")
        gate, up = linear(w, f"{p}.mlp.gate_up_proj", norm(x, f"{p}.post_attention_layernorm")).chunk(2, -1)
        x = x + behind(linear(w, f"{p}.mlp.down_proj", up * F.silu(gate)), f"{p}.post_mlp_layernorm")
    return linear(w, "lm_head", norm(x, "model.norm"))
