"""Phi and Phi-3, from transformers' modeling_phi.py, modular_phi3.py and modeling_rope_utils.py."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rms_norm, rotate_first, turned


def columns(c):
    return int(c["hidden_size"] // c["num_attention_heads"] * c["partial_rotary_factor"])


def shapes(c):
    dim, hidden, count, groups = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    width = dim // count
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim]}
    if not c["tie_word_embeddings"]:
        found["lm_head.weight"] = [c["vocab_size"], dim]
    if c["model_type"] == "phi":
        found |= {"lm_head.bias": [c["vocab_size"]], "model.final_layernorm.weight": [dim], "model.final_layernorm.bias": [dim]}
    else:
        found["model.norm.weight"] = [dim]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        if c["model_type"] == "phi3":
            found |= {
                f"{p}.self_attn.qkv_proj.weight": [(count + 2 * groups) * width, dim],
                f"{p}.self_attn.o_proj.weight": [dim, dim],
                f"{p}.mlp.gate_up_proj.weight": [2 * hidden, dim],
                f"{p}.mlp.down_proj.weight": [dim, hidden],
                f"{p}.input_layernorm.weight": [dim],
                f"{p}.post_attention_layernorm.weight": [dim],
            }
            continue
        maps = {"self_attn.q_proj": (dim, dim), "self_attn.k_proj": (groups * width, dim), "self_attn.v_proj": (groups * width, dim)}
        maps |= {"self_attn.dense": (dim, dim), "mlp.fc1": (hidden, dim), "mlp.fc2": (dim, hidden)}
        norms = {"input_layernorm": dim} | ({f"self_attn.{x}_layernorm": width for x in "qk"} if c["qk_layernorm"] else {})
        found |= {f"{p}.{name}.weight": list(shape) for name, shape in maps.items()} | {f"{p}.{name}.bias": [shape[0]] for name, shape in maps.items()}
        found |= {f"{p}.{name}.{x}": [size] for name, size in norms.items() for x in ("weight", "bias")}
    return found


def rotation(c, tokens):
    """Angles of positions and pairs, and the factor on cosine and sine."""
    width, scaling = columns(c), c.get("rope_scaling")
    if not scaling:
        return angles(tokens, width, c["rope_theta"]), 1.0
    original = c["original_max_position_embeddings"]
    factors = torch.tensor(scaling["long_factor" if tokens > original else "short_factor"], dtype=torch.float64)
    frequencies = 1 / (factors * c["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float64) / width))
    growth = c["max_position_embeddings"] / original
    return turned(tokens, frequencies), math.sqrt(1 + math.log(growth) / math.log(original))


def logits(c, w, tokens):
    count, groups = c["num_attention_heads"], c["num_key_value_heads"]
    angle, factor = rotation(c, tokens.shape[1])
    first = torch.cat([torch.full([columns(c)], factor), torch.ones(c["hidden_size"] // count - columns(c))]).double()
    rotate = lambda y: rotate_first(y, angle) * first
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        if c["model_type"] == "phi":
            norm = lambda y, key: layer_norm(y, w[f"{key}.weight"], w[f"{key}.bias"], c["layer_norm_eps"])
            h = norm(x, f"{p}.input_layernorm")
            q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), count if n == "q" else groups) for n in "qkv"]
            if c["qk_layernorm"]:
                q, k = norm(q, f"{p}.self_attn.q_layernorm"), norm(k, f"{p}.self_attn.k_layernorm")
            a = linear(w, f"{p}.self_attn.dense", attend(rotate(q), rotate(k), v))
            x = a + linear(w, f"{p}.mlp.fc2", F.gelu(linear(w, f"{p}.mlp.fc1", h), approximate="tanh")) + x
        else:
            norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c["rms_norm_eps"])
            size = c["hidden_size"] // count * groups
            q, k, v = linear(w, f"{p}.self_attn.qkv_proj", norm(x, f"{p}.input_layernorm")).split([c["hidden_size"], size, size], -1)
            a = attend(rotate(heads(q, count)), rotate(heads(k, groups)), heads(v, groups), window=c["sliding_window"])
            x = x + linear(w, f"{p}.self_attn.o_proj", a)
            gate, up = linear(w, f"{p}.mlp.gate_up_proj", norm(x, f"{p}.post_attention_layernorm")).chunk(2, -1)
            x = x + linear(w, f"{p}.mlp.down_proj", up * F.silu(gate))
    y = norm(x, "model.final_layernorm" if c["model_type"] == "phi" else "model.norm")
    return linear({"head.weight": w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"], "head.bias": w.get("lm_head.bias")}, "head", y)
