"""Mamba-2 and hybrids of it: Bamba and Granite 4, from transformers' modeling_mamba2.py, modular_bamba.py and
modular_granitemoehybrid.py."""

import torch
import torch.nn.functional as F
from account import initial as usual
from parts import angles, attend, heads, linear, mamba2, mamba2_shapes, rms_norm, rotate_first


def initial(key, shape, generator):
    """Decays far enough from 0 that states matter."""
    values = usual(key, shape, generator)
    return values - 2.0 if key.endswith("A_log") or key.endswith("dt_bias") else values


def sizes(c):
    if c["model_type"] == "mamba2":
        names = dict(heads="num_heads", head_dim="head_dim", state="state_size", groups="n_groups", width="conv_kernel")
    else:
        names = dict(heads="mamba_n_heads", head_dim="mamba_d_head", state="mamba_d_state", groups="mamba_n_groups", width="mamba_d_conv")
    found = {name: c[field] for name, field in names.items()}
    if found["head_dim"] == "auto":
        found["head_dim"] = 2 * c["hidden_size"] // found["heads"]
    return found


def has_attention(c, i):
    if c["model_type"] == "bamba":
        return i in c["attn_layer_indices"]
    return c.get("layer_types", ["mamba"] * 99)[i] == "attention"


NORMS = {"bamba": "pre_ff_layernorm", "granitemoehybrid": "post_attention_layernorm"}


def shapes(c):
    dim, kind, vocab = c["hidden_size"], c["model_type"], c["vocab_size"]
    if kind == "mamba2":
        found = {"backbone.embeddings.weight": [vocab, dim], "backbone.norm_f.weight": [dim], "lm_head.weight": [vocab, dim]}
        for i in range(c["num_hidden_layers"]):
            p = f"backbone.layers.{i}"
            found[f"{p}.norm.weight"] = [dim]
            found |= mamba2_shapes(sizes(c), f"{p}.mixer", dim, c["use_bias"], c["use_conv_bias"])
        return found
    found = {"model.embed_tokens.weight": [vocab, dim], f"model.{'final_layernorm' if kind == 'bamba' else 'norm'}.weight": [dim]}
    if not c["tie_word_embeddings"]:
        found["lm_head.weight"] = [vocab, dim]
    kv = c["num_key_value_heads"] * dim // c["num_attention_heads"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.{NORMS[kind]}.weight": [dim]}
        if has_attention(c, i):
            found |= {f"{p}.self_attn.{n}_proj.weight": [rows, dim] for n, rows in (("q", dim), ("k", kv), ("v", kv), ("o", dim))}
        else:
            found |= mamba2_shapes(sizes(c), f"{p}.mamba", dim, c["mamba_proj_bias"], c["mamba_conv_bias"])
        if kind == "bamba":
            hidden = c["intermediate_size"]
            maps = (("gate", [hidden, dim]), ("up", [hidden, dim]), ("down", [dim, hidden]))
            found |= {f"{p}.feed_forward.{n}_proj.weight": shape for n, shape in maps}
            continue
        hidden, count = c["shared_intermediate_size"], c["num_local_experts"]
        found |= {f"{p}.shared_mlp.input_linear.weight": [2 * hidden, dim], f"{p}.shared_mlp.output_linear.weight": [dim, hidden]}
        if count:
            hidden, m = c["intermediate_size"], f"{p}.block_sparse_moe"
            found |= {f"{m}.router.layer.weight": [count, dim], f"{m}.input_linear.weight": [count, 2 * hidden, dim]}
            found[f"{m}.output_linear.weight"] = [count, dim, hidden]
    return found


def attention(c, w, p, x):
    q, k, v = [heads(linear(w, f"{p}.{n}_proj", x), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
    width = c["hidden_size"] // c["num_attention_heads"]
    if c["model_type"] == "bamba" or c["position_embedding_type"] == "rope":
        angle = angles(x.shape[1], width // 2 if c["model_type"] == "bamba" else width, c["rope_theta"])
        q, k = rotate_first(q, angle), rotate_first(k, angle)
    return linear(w, f"{p}.o_proj", attend(q, k, v, scale=c.get("attention_multiplier")))


def gated(rows, down):
    gate, up = rows.chunk(2, -1)
    return F.linear(F.silu(gate) * up, down)


def network(c, w, p, x):
    if c["model_type"] == "bamba":
        f = f"{p}.feed_forward"
        return linear(w, f"{f}.down_proj", F.silu(linear(w, f"{f}.gate_proj", x)) * linear(w, f"{f}.up_proj", x))
    y = gated(linear(w, f"{p}.shared_mlp.input_linear", x), w[f"{p}.shared_mlp.output_linear.weight"])
    if not c["num_local_experts"]:
        return y
    m = f"{p}.block_sparse_moe"
    scores = linear(w, f"{m}.router.layer", x)
    best = scores.topk(c["num_experts_per_tok"], -1)
    gates = torch.zeros_like(scores).scatter(-1, best.indices, best.values.softmax(-1))
    ups, downs = w[f"{m}.input_linear.weight"], w[f"{m}.output_linear.weight"]
    return y + sum(gates[..., e, None] * gated(F.linear(x, ups[e]), downs[e]) for e in range(c["num_local_experts"]))


def logits(c, w, tokens):
    if c["model_type"] == "mamba2":
        norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c["layer_norm_epsilon"])
        x = w["backbone.embeddings.weight"][tokens]
        for i in range(c["num_hidden_layers"]):
            p = f"backbone.layers.{i}"
            x = x + mamba2(sizes(c), w, f"{p}.mixer", norm(x, f"{p}.norm"), c["layer_norm_epsilon"])
        return linear(w, "lm_head", norm(x, "backbone.norm_f"))
    kind = c["model_type"]
    norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c["rms_norm_eps"])
    factor = c.get("residual_multiplier", 1.0)
    x = w["model.embed_tokens.weight"][tokens] * c.get("embedding_multiplier", 1.0)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm")
        mixed = attention(c, w, f"{p}.self_attn", h) if has_attention(c, i) else mamba2(sizes(c), w, f"{p}.mamba", h, c["rms_norm_eps"])
        x = x + factor * mixed
        x = x + factor * network(c, w, p, norm(x, f"{p}.{NORMS[kind]}"))
    y = norm(x, "model.final_layernorm" if kind == "bamba" else "model.norm")
    head = w["model.embed_tokens.weight"] if c["tie_word_embeddings"] else w["lm_head.weight"]
    return F.linear(y, head) / c.get("logits_scaling", 1.0)
