"""Mixtures whose experts lie stacked: gpt-oss and GraniteMoE, from transformers' modeling_gpt_oss.py and
modeling_granitemoe.py."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, linear, rms_norm, rotate_halves


def attention_shapes(c, p, width):
    dim, bias = c["hidden_size"], c["attention_bias"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {}
    for name, rows, columns in (("q", q, dim), ("k", kv, dim), ("v", kv, dim), ("o", dim, q)):
        found[f"{p}.self_attn.{name}_proj.weight"] = [rows, columns]
        if bias:
            found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
    return found


def head_width(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def shapes(c):
    dim, hidden, count = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= attention_shapes(c, p, head_width(c))
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.post_attention_layernorm.weight": [dim]}
        if c["model_type"] == "gpt_oss":
            found |= {
                f"{p}.self_attn.sinks": [c["num_attention_heads"]],
                f"{p}.mlp.router.weight": [count, dim],
                f"{p}.mlp.router.bias": [count],
                f"{p}.mlp.experts.gate_up_proj": [count, dim, 2 * hidden],
                f"{p}.mlp.experts.gate_up_proj_bias": [count, 2 * hidden],
                f"{p}.mlp.experts.down_proj": [count, hidden, dim],
                f"{p}.mlp.experts.down_proj_bias": [count, dim],
            }
        else:
            found |= {
                f"{p}.block_sparse_moe.router.layer.weight": [count, dim],
                f"{p}.block_sparse_moe.input_linear.weight": [count, 2 * hidden, dim],
                f"{p}.block_sparse_moe.output_linear.weight": [count, dim, hidden],
            }
    if not c.get("tie_word_embeddings", False):
        found["lm_head.weight"] = [c["vocab_size"], dim]
    return found


def yarn(c, tokens, width):
    """The angles of gpt-oss, and the factor on sine and cosine (Peng et al. 2023, arXiv 2309.00071)."""
    s = c["rope_scaling"]
    theta, original = c["rope_theta"], s["original_max_position_embeddings"]
    at = lambda turns: width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(at(s["beta_fast"]), 0), min(at(s["beta_slow"]), width - 1)
    kept = 1 - ((torch.arange(width // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    plain = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    frequencies = plain / s["factor"] * (1 - kept) + plain * kept
    return torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies, 0.1 * math.log(s["factor"]) + 1


def chosen_experts(y, scores, k, expert):
    """The sum of expert(e, y) by a softmax of the k best scores."""
    best = scores.topk(k, -1)
    gates = torch.zeros_like(scores).scatter(-1, best.indices, best.values.softmax(-1))
    return sum(gates[..., e : e + 1] * expert(e, y) for e in range(scores.shape[-1]))


def gpt_oss_network(c, w, p, y):
    limit = c["swiglu_limit"]

    def expert(e, x):
        z = x @ w[f"{p}.experts.gate_up_proj"][e] + w[f"{p}.experts.gate_up_proj_bias"][e]
        gate, up = z[..., 0::2].clamp(max=limit), z[..., 1::2].clamp(-limit, limit)
        return ((up + 1) * gate * torch.sigmoid(1.702 * gate)) @ w[f"{p}.experts.down_proj"][e] + w[f"{p}.experts.down_proj_bias"][e]

    return chosen_experts(y, linear(w, f"{p}.router", y), c["num_experts_per_tok"], expert)


def granite_network(c, w, p, y):
    def expert(e, x):
        gate, up = F.linear(x, w[f"{p}.input_linear.weight"][e]).chunk(2, -1)
        return F.linear(F.silu(gate) * up, w[f"{p}.output_linear.weight"][e])

    return chosen_experts(y, linear(w, f"{p}.router.layer", y), c["num_experts_per_tok"], expert)


def logits(c, w, tokens):
    oss, width, length = c["model_type"] == "gpt_oss", head_width(c), tokens.shape[1]
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"])
    update = c.get("residual_multiplier", 1.0)
    x = w["model.embed_tokens.weight"][tokens] * c.get("embedding_multiplier", 1.0)
    angle, factor = yarn(c, length, width) if oss else (angles(length, width, c["rope_theta"]), 1.0)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        y = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", y), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        q, k = rotate_halves(q, angle) * factor, rotate_halves(k, angle) * factor
        window = c["sliding_window"] if oss and c["layer_types"][i] == "sliding_attention" else None
        a = attend(q, k, v, c.get("attention_multiplier"), window=window, sinks=w[f"{p}.self_attn.sinks"] if oss else None)
        x = x + linear(w, f"{p}.self_attn.o_proj", a) * update
        y = norm(x, f"{p}.post_attention_layernorm")
        x = x + (gpt_oss_network(c, w, f"{p}.mlp", y) if oss else granite_network(c, w, f"{p}.block_sparse_moe", y)) * update
    table = w["lm_head.weight"] if "lm_head.weight" in w else w["model.embed_tokens.weight"]
    return norm(x, "model.norm") @ table.T / c.get("logits_scaling", 1.0)
