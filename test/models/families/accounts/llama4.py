"""The text model of Llama 4, from transformers' modeling_llama4.py."""

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, linear, rms_norm, rotate_neighbours


def turned(c, i):
    return bool(c["no_rope_layers"][i]) if c.get("no_rope_layers") else (i + 1) % c["no_rope_layer_interval"] != 0


def mixed(c, i):
    step = c["interleave_moe_layer_step"]
    return i in (c.get("moe_layers") or range(step - 1, c["num_hidden_layers"], step))


def shapes(c):
    dim, hidden, count, width = c["hidden_size"], c["intermediate_size"], c["num_local_experts"], c["head_dim"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}

    def network(p, own):
        found.update({f"{p}.gate_proj.weight": [own, dim], f"{p}.up_proj.weight": [own, dim], f"{p}.down_proj.weight": [dim, own]})

    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.post_attention_layernorm.weight": [dim]}
        for name, rows, columns in (("q", q, dim), ("k", kv, dim), ("v", kv, dim), ("o", dim, q)):
            found[f"{p}.self_attn.{name}_proj.weight"] = [rows, columns]
            if c["attention_bias"]:
                found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
        f = f"{p}.feed_forward"
        if not mixed(c, i):
            network(f, c["intermediate_size_mlp"])
            continue
        found |= {f"{f}.router.weight": [count, dim], f"{f}.experts.gate_up_proj": [count, dim, 2 * hidden]}
        found[f"{f}.experts.down_proj"] = [count, hidden, dim]
        network(f"{f}.shared_expert", hidden)
    if not c.get("tie_word_embeddings", False):
        found["lm_head.weight"] = [c["vocab_size"], dim]
    return found


def network(w, p, x):
    return linear(w, f"{p}.down_proj", F.silu(linear(w, f"{p}.gate_proj", x)) * linear(w, f"{p}.up_proj", x))


def mixture(c, w, p, x):
    scores = linear(w, f"{p}.router", x)
    best = scores.topk(c["num_experts_per_tok"], -1)
    gates = torch.full_like(scores, -torch.inf).scatter(-1, best.indices, best.values).sigmoid()
    found = network(w, f"{p}.shared_expert", x)
    for e in range(c["num_local_experts"]):
        gate, up = ((x * gates[..., e : e + 1]) @ w[f"{p}.experts.gate_up_proj"][e]).chunk(2, -1)
        found = found + (up * F.silu(gate)) @ w[f"{p}.experts.down_proj"][e]
    return found


def logits(c, w, tokens):
    eps, length = c["rms_norm_eps"], tokens.shape[1]
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], eps)
    angle = angles(length, c["head_dim"], c["rope_theta"])
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        y = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", y), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        if turned(c, i):
            q, k = rotate_neighbours(q, angle), rotate_neighbours(k, angle)
            if c["use_qk_norm"]:
                q, k = rms_norm(q, None, eps), rms_norm(k, None, eps)
        elif c["attn_temperature_tuning"]:
            at = torch.arange(length, dtype=torch.float64)
            q = q * (torch.log1p(torch.floor((at + 1) / c["floor_scale"])) * c["attn_scale"] + 1)[:, None]
        a = attend(q, k, v, chunk=c["attention_chunk_size"] if turned(c, i) else None)
        x = x + linear(w, f"{p}.self_attn.o_proj", a)
        y = norm(x, f"{p}.post_attention_layernorm")
        x = x + (mixture if mixed(c, i) else lambda c, w, p, x: network(w, p, x))(c, w, f"{p}.feed_forward", y)
    table = w["lm_head.weight"] if "lm_head.weight" in w else w["model.embed_tokens.weight"]
    return norm(x, "model.norm") @ table.T
