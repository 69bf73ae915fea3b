"""Qwen3-Next: gated DeltaNets and gated attention, from transformers' modular_qwen3_next.py."""

import torch
import torch.nn.functional as F
from account import initial as usual
from parts import angles, attend, heads, linear, rms_norm, rotate_first, short_conv


def recurrent(c, i):
    types = c.get("layer_types")
    return types[i] == "linear_attention" if types else (i + 1) % c.get("full_attention_interval", 4) != 0


def sparse(c, i):
    return i not in c.get("mlp_only_layers", []) and (i + 1) % c.get("decoder_sparse_step", 1) == 0


def initial(key, shape, generator):
    """Decays far enough from 0 that states matter; norms around 1 + 0.3."""
    values = usual(key, shape, generator)
    return values - 2.0 if key.endswith("A_log") or key.endswith("dt_bias") else values


def network(p, dim, hidden):
    return {f"{p}.gate_proj.weight": [hidden, dim], f"{p}.up_proj.weight": [hidden, dim], f"{p}.down_proj.weight": [dim, hidden]}


def shapes(c):
    dim, width = c["hidden_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    values = c["linear_num_value_heads"] * c["linear_value_head_dim"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "lm_head.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.post_attention_layernorm.weight": [dim]}
        if recurrent(c, i):
            found |= {
                f"{p}.linear_attn.in_proj_qkvz.weight": [2 * keys + 2 * values, dim],
                f"{p}.linear_attn.in_proj_ba.weight": [2 * c["linear_num_value_heads"], dim],
                f"{p}.linear_attn.conv1d.weight": [2 * keys + values, 1, c["linear_conv_kernel_dim"]],
                f"{p}.linear_attn.dt_bias": [c["linear_num_value_heads"]],
                f"{p}.linear_attn.A_log": [c["linear_num_value_heads"]],
                f"{p}.linear_attn.norm.weight": [c["linear_value_head_dim"]],
                f"{p}.linear_attn.out_proj.weight": [dim, values],
            }
        else:
            for name, rows, columns in (("q", 2 * q, dim), ("k", kv, dim), ("v", kv, dim), ("o", dim, q)):
                found[f"{p}.self_attn.{name}_proj.weight"] = [rows, columns]
                if c["attention_bias"]:
                    found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
            found |= {f"{p}.self_attn.{n}_norm.weight": [width] for n in "qk"}
        if sparse(c, i):
            found[f"{p}.mlp.gate.weight"] = [c["num_experts"], dim]
            found[f"{p}.mlp.shared_expert_gate.weight"] = [1, dim]
            found |= network(f"{p}.mlp.shared_expert", dim, c["shared_expert_intermediate_size"])
            for e in range(c["num_experts"]):
                found |= network(f"{p}.mlp.experts.{e}", dim, c["moe_intermediate_size"])
        else:
            found |= network(f"{p}.mlp", dim, c["intermediate_size"])
    # Weights of multi-token prediction, which the model does not read.
    found |= {"mtp.fc.weight": [dim, 2 * dim], "mtp.layers.0.self_attn.q_proj.weight": [2 * q, dim]}
    return found


def delta_net(c, w, p, x):
    groups, count = c["linear_num_key_heads"], c["linear_num_value_heads"]
    key, value, shared = c["linear_key_head_dim"], c["linear_value_head_dim"], count // groups
    sizes = [key, key, shared * value, shared * value]
    q, k, v, z = linear(w, f"{p}.in_proj_qkvz", x).unflatten(-1, (groups, -1)).split(sizes, -1)
    b, a = [y.flatten(2) for y in linear(w, f"{p}.in_proj_ba", x).unflatten(-1, (groups, -1)).chunk(2, -1)]
    rows = F.silu(short_conv(torch.cat([y.flatten(2) for y in (q, k, v)], -1), w[f"{p}.conv1d.weight"]))
    q, k, v = rows.split([groups * key, groups * key, count * value], -1)
    unit = lambda y: y * torch.rsqrt(y.pow(2).sum(-1, keepdim=True) + 1e-6)
    q, k = [unit(heads(y, groups)).repeat_interleave(shared, 1) for y in (q, k)]
    q, v = q * key**-0.5, heads(v, count)
    beta = b.sigmoid().transpose(1, 2)
    decay = (-w[f"{p}.A_log"].exp() * F.softplus(a + w[f"{p}.dt_bias"])).exp().transpose(1, 2)
    state, rows = x.new_zeros(x.shape[0], count, key, value), []
    for t in range(x.shape[1]):
        state = state * decay[:, :, t, None, None]
        change = (v[:, :, t] - (state * k[:, :, t, :, None]).sum(-2)) * beta[:, :, t, None]
        state = state + k[:, :, t, :, None] * change[:, :, None]
        rows.append((state * q[:, :, t, :, None]).sum(-2))
    y = rms_norm(torch.stack(rows, 1), w[f"{p}.norm.weight"], c["rms_norm_eps"]) * F.silu(z.reshape(*x.shape[:2], count, value))
    return linear(w, f"{p}.out_proj", y.flatten(2))


def attention(c, w, p, x, norm):
    count, groups = c["num_attention_heads"], c["num_key_value_heads"]
    q, gate = linear(w, f"{p}.q_proj", x).unflatten(-1, (count, -1)).chunk(2, -1)
    angle = angles(x.shape[1], int(c["head_dim"] * c["partial_rotary_factor"]), c["rope_theta"])
    turn = lambda y, n: rotate_first(norm(y, f"{p}.{n}_norm"), angle)
    k, v = heads(linear(w, f"{p}.k_proj", x), groups), heads(linear(w, f"{p}.v_proj", x), groups)
    y = attend(turn(q.transpose(1, 2), "q"), turn(k, "k"), v) * gate.flatten(2).sigmoid()
    return linear(w, f"{p}.o_proj", y)


def mlp(w, p, x):
    return linear(w, f"{p}.down_proj", F.silu(linear(w, f"{p}.gate_proj", x)) * linear(w, f"{p}.up_proj", x))


def mixture(c, w, p, x):
    share = linear(w, f"{p}.gate", x).softmax(-1)
    best = share.topk(c["num_experts_per_tok"], -1)
    gates = torch.zeros_like(share).scatter(-1, best.indices, best.values)
    if c["norm_topk_prob"]:
        gates = gates / best.values.sum(-1, keepdim=True)
    y = sum(gates[..., e, None] * mlp(w, f"{p}.experts.{e}", x) for e in range(c["num_experts"]))
    return y + linear(w, f"{p}.shared_expert_gate", x).sigmoid() * mlp(w, f"{p}.shared_expert", x)


def logits(c, w, tokens):
    norm = lambda y, key: rms_norm(y, 1 + w[f"{key}.weight"], c["rms_norm_eps"])
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm")
        x = x + (delta_net(c, w, f"{p}.linear_attn", h) if recurrent(c, i) else attention(c, w, f"{p}.self_attn", h, norm))
        h = norm(x, f"{p}.post_attention_layernorm")
        x = x + (mixture(c, w, f"{p}.mlp", h) if sparse(c, i) else mlp(w, f"{p}.mlp", h))
    return linear(w, "lm_head", norm(x, "model.norm"))
