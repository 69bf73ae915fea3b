"""Mamba and Jamba, from transformers' modeling_mamba.py and modular_jamba.py."""

import torch
import torch.nn.functional as F
from account import initial as usual
from parts import attend, heads, linear, rms_norm, short_conv


def initial(key, shape, generator):
    """Decays far enough from 0 that states matter."""
    values = usual(key, shape, generator)
    return values - 2.0 if key.endswith("A_log") or key.endswith("dt_proj.bias") else values


def is_jamba(c):
    return c["model_type"] == "jamba"


def has_attention(c, i):
    return is_jamba(c) and i % c["attn_layer_period"] == c["attn_layer_offset"]


def sparse(c, i):
    return c["num_experts"] > 1 and i % c["expert_layer_period"] == c["expert_layer_offset"]


def sizes(c):
    """Channels, rows of a state, rank of the steps, width of the convolution."""
    dim = c["hidden_size"]
    expand, state, rank, width = (
        ("mamba_expand", "mamba_d_state", "mamba_dt_rank", "mamba_d_conv") if is_jamba(c) else ("expand", "state_size", "time_step_rank", "conv_kernel")
    )
    return c[expand] * dim, c[state], -(-dim // 16) if c[rank] == "auto" else c[rank], c[width]


def mixer_shapes(c, p):
    dim, (channels, state, rank, width) = c["hidden_size"], sizes(c)
    found = {
        f"{p}.in_proj.weight": [2 * channels, dim],
        f"{p}.conv1d.weight": [channels, 1, width],
        f"{p}.x_proj.weight": [rank + 2 * state, channels],
        f"{p}.dt_proj.weight": [channels, rank],
        f"{p}.dt_proj.bias": [channels],
        f"{p}.A_log": [channels, state],
        f"{p}.D": [channels],
        f"{p}.out_proj.weight": [dim, channels],
    }
    if c.get("use_bias", c.get("mamba_proj_bias")):
        found |= {f"{p}.in_proj.bias": [2 * channels], f"{p}.out_proj.bias": [dim]}
    if c.get("use_conv_bias", c.get("mamba_conv_bias")):
        found[f"{p}.conv1d.bias"] = [channels]
    if is_jamba(c):
        found |= {f"{p}.{n}_layernorm.weight": [rank if n == "dt" else state] for n in ("dt", "b", "c")}
    return found


def network(p, dim, hidden):
    return {f"{p}.gate_proj.weight": [hidden, dim], f"{p}.up_proj.weight": [hidden, dim], f"{p}.down_proj.weight": [dim, hidden]}


def shapes(c):
    dim, vocab = c["hidden_size"], c["vocab_size"]
    if not is_jamba(c):
        found = {"backbone.embeddings.weight": [vocab, dim], "backbone.norm_f.weight": [dim]}
        for i in range(c["num_hidden_layers"]):
            found |= {f"backbone.layers.{i}.norm.weight": [dim]} | mixer_shapes(c, f"backbone.layers.{i}.mixer")
        return found
    found = {"model.embed_tokens.weight": [vocab, dim], "lm_head.weight": [vocab, dim], "model.final_layernorm.weight": [dim]}
    kv = c["num_key_value_heads"] * dim // c["num_attention_heads"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.pre_ff_layernorm.weight": [dim]}
        if has_attention(c, i):
            found |= {f"{p}.self_attn.{n}_proj.weight": [rows, dim] for n, rows in (("q", dim), ("k", kv), ("v", kv), ("o", dim))}
        else:
            found |= mixer_shapes(c, f"{p}.mamba")
        if sparse(c, i):
            found[f"{p}.feed_forward.router.weight"] = [c["num_experts"], dim]
            for e in range(c["num_experts"]):
                found |= network(f"{p}.feed_forward.experts.{e}", dim, c["intermediate_size"])
        else:
            found |= network(f"{p}.feed_forward", dim, c["intermediate_size"])
    return found


def mixer(c, w, p, x):
    channels, state, rank, _ = sizes(c)
    rows, gate = linear(w, f"{p}.in_proj", x).chunk(2, -1)
    rows = F.silu(short_conv(rows, w[f"{p}.conv1d.weight"], w.get(f"{p}.conv1d.bias")))
    parts = linear(w, f"{p}.x_proj", rows).split([rank, state, state], -1)
    if is_jamba(c):
        parts = [rms_norm(y, w[f"{p}.{n}_layernorm.weight"], c["rms_norm_eps"]) for y, n in zip(parts, ("dt", "b", "c"))]
    dt = F.softplus(linear(w, f"{p}.dt_proj", parts[0]))
    decay = -w[f"{p}.A_log"].exp()
    held, found = x.new_zeros(x.shape[0], channels, state), []
    for t in range(x.shape[1]):
        step = dt[:, t, :, None]
        held = (decay * step).exp() * held + step * parts[1][:, t, None] * rows[:, t, :, None]
        found.append((held * parts[2][:, t, None]).sum(-1) + w[f"{p}.D"] * rows[:, t])
    return linear(w, f"{p}.out_proj", torch.stack(found, 1) * F.silu(gate))


def attention(c, w, p, x):
    q, k, v = [heads(linear(w, f"{p}.{n}_proj", x), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
    return linear(w, f"{p}.o_proj", attend(q, k, v))


def mlp(w, p, x):
    return linear(w, f"{p}.down_proj", F.silu(linear(w, f"{p}.gate_proj", x)) * linear(w, f"{p}.up_proj", x))


def feed_forward(c, w, p, x, i):
    if not sparse(c, i):
        return mlp(w, p, x)
    share = linear(w, f"{p}.router", x).softmax(-1)
    best = share.topk(c["num_experts_per_tok"], -1)
    gates = torch.zeros_like(share).scatter(-1, best.indices, best.values)
    return sum(gates[..., e, None] * mlp(w, f"{p}.experts.{e}", x) for e in range(c["num_experts"]))


def logits(c, w, tokens):
    norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c.get("rms_norm_eps", c.get("layer_norm_epsilon")))
    if not is_jamba(c):
        x = w["backbone.embeddings.weight"][tokens]
        for i in range(c["num_hidden_layers"]):
            p = f"backbone.layers.{i}"
            x = x + mixer(c, w, f"{p}.mixer", norm(x, f"{p}.norm"))
        return norm(x, "backbone.norm_f") @ w["backbone.embeddings.weight"].T
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm")
        x = x + (attention(c, w, f"{p}.self_attn", h) if has_attention(c, i) else mixer(c, w, f"{p}.mamba", h))
        x = x + feed_forward(c, w, f"{p}.feed_forward", norm(x, f"{p}.pre_ff_layernorm"), i)
    return linear(w, "lm_head", norm(x, "model.final_layernorm"))
