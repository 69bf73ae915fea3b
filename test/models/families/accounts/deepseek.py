"""DeepSeek-V2, Kimi K2, MiniCPM3, GLM-4 MoE and DBRX, from DeepSeek's modeling_deepseek.py (V2 and V3), MiniCPM's
modeling_minicpm.py and transformers' modeling_glm4_moe.py and modeling_dbrx.py."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rms_norm, rotate_first, rotate_halves, rotate_neighbours


def shapes(c):
    if c["model_type"] == "dbrx":
        return dbrx_shapes(c)
    dim, count = c["hidden_size"], c["num_attention_heads"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    if c["model_type"] != "minicpm3":
        found["lm_head.weight"] = [c["vocab_size"], dim]

    def network(p, hidden):
        found.update({f"{p}.gate_proj.weight": [hidden, dim], f"{p}.up_proj.weight": [hidden, dim], f"{p}.down_proj.weight": [dim, hidden]})

    def full(key, rows, columns, biased):
        found[f"{key}.weight"] = [rows, columns]
        if biased:
            found[f"{key}.bias"] = [rows]

    bias = c.get("attention_bias", False)
    for i in range(c["num_hidden_layers"] + c.get("num_nextn_predict_layers", 0)):
        p = f"model.layers.{i}"
        a = f"{p}.self_attn"
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.post_attention_layernorm.weight": [dim]}
        if c["model_type"] == "glm4_moe":
            width = c["head_dim"]
            for name, rows in (("q", count), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])):
                full(f"{a}.{name}_proj", rows * width, dim, bias)
            full(f"{a}.o_proj", dim, count * width, False)
            found |= {f"{a}.{x}_norm.weight": [width] for x in "qk"}
        else:
            rank, keys = c["q_lora_rank"], c["kv_lora_rank"]
            still, turned, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c.get("v_head_dim") or dim // count
            if rank is None:
                full(f"{a}.q_proj", count * (still + turned), dim, False)
            else:
                full(f"{a}.q_a_proj", rank, dim, bias), full(f"{a}.q_b_proj", count * (still + turned), rank, False)
                found[f"{a}.q_a_layernorm.weight"] = [rank]
            full(f"{a}.kv_a_proj_with_mqa", keys + turned, dim, bias)
            found[f"{a}.kv_a_layernorm.weight"] = [keys]
            full(f"{a}.kv_b_proj", count * (still + value), keys, False)
            full(f"{a}.o_proj", dim, count * value, bias)
        if i < c.get("first_k_dense_replace", math.inf):
            network(f"{p}.mlp", c["intermediate_size"])
            continue
        found[f"{p}.mlp.gate.weight"] = [c["n_routed_experts"], dim]
        if c["model_type"] != "deepseek_v2":
            found[f"{p}.mlp.gate.e_score_correction_bias"] = [c["n_routed_experts"]]
        for e in range(c["n_routed_experts"]):
            network(f"{p}.mlp.experts.{e}", c["moe_intermediate_size"])
        network(f"{p}.mlp.shared_experts", c["n_shared_experts"] * c["moe_intermediate_size"])
        if i >= c["num_hidden_layers"]:
            # A layer that guesses a further token.
            found |= {f"{p}.{x}.weight": [dim] for x in ("enorm", "hnorm", "shared_head.norm")}
            found |= {f"{p}.eh_proj.weight": [dim, 2 * dim], f"{p}.embed_tokens.weight": [c["vocab_size"], dim]}
            found[f"{p}.shared_head.head.weight"] = [c["vocab_size"], dim]
    return found


def network(w, p, x):
    return linear(w, f"{p}.down_proj", F.silu(linear(w, f"{p}.gate_proj", x)) * linear(w, f"{p}.up_proj", x))


def mixture(c, w, p, x):
    logits = linear(w, f"{p}.gate", x)
    groups, opens, k = c["n_group"], c["topk_group"], c["num_experts_per_tok"]
    if c["model_type"] == "deepseek_v2":
        scores = logits.softmax(-1)
        order, ranked = scores, 1
    else:
        scores = logits.sigmoid()
        order, ranked = scores + w[f"{p}.gate.e_score_correction_bias"], 2
    if groups > 1:
        parted = order.unflatten(-1, (groups, -1))
        worth = parted.topk(ranked, -1).values.sum(-1)
        allowed = torch.zeros_like(worth).scatter(-1, worth.topk(opens, -1).indices, 1.0)
        order = parted.masked_fill(allowed[..., None] == 0, -math.inf).flatten(-2)
    chosen = order.topk(k, -1).indices
    gates = scores.gather(-1, chosen)
    if c["norm_topk_prob"]:
        gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
    gates = torch.zeros_like(scores).scatter(-1, chosen, gates * c["routed_scaling_factor"])
    found = sum(gates[..., e : e + 1] * network(w, f"{p}.experts.{e}", x) for e in range(c["n_routed_experts"]))
    return found + network(w, f"{p}.shared_experts", x)


def stretched(c, tokens, width):
    """YaRN's angles with whole bounds, and the factor on scores."""
    s, theta = c["rope_scaling"], c["rope_theta"]
    at = lambda turns: width * math.log(s["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(math.floor(at(s["beta_fast"])), 0), min(math.ceil(at(s["beta_slow"])), width - 1)
    kept = 1 - ((torch.arange(width // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    plain = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    frequencies = plain / s["factor"] * (1 - kept) + plain * kept
    return torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies, (0.1 * s["mscale_all_dim"] * math.log(s["factor"]) + 1) ** 2


def latent_attention(c, w, p, x):
    count, still, turned = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
    if c["q_lora_rank"] is None:
        q = linear(w, f"{p}.q_proj", x)
    else:
        q = linear(w, f"{p}.q_b_proj", rms_norm(linear(w, f"{p}.q_a_proj", x), w[f"{p}.q_a_layernorm.weight"], 1e-6))
    low, shared = linear(w, f"{p}.kv_a_proj_with_mqa", x).split([c["kv_lora_rank"], turned], -1)
    kv = heads(linear(w, f"{p}.kv_b_proj", rms_norm(low, w[f"{p}.kv_a_layernorm.weight"], 1e-6)), count)
    q = heads(q, count)
    angle, factor = stretched(c, x.shape[1], turned) if c.get("rope_scaling") else (angles(x.shape[1], turned, c["rope_theta"]), 1.0)
    turn = lambda y: (rotate_halves if c["model_type"] == "minicpm3" else rotate_neighbours)(y, angle)
    q = torch.cat([q[..., :still], turn(q[..., still:])], -1)
    k = torch.cat([kv[..., :still], turn(shared)[:, None].expand(-1, count, -1, -1)], -1)
    return linear(w, f"{p}.o_proj", attend(q, k, kv[..., still:], factor / math.sqrt(still + turned)))


def glm_attention(c, w, p, x):
    q, k, v = [heads(linear(w, f"{p}.{n}_proj", x), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
    angle = angles(x.shape[1], int(c["head_dim"] * c["partial_rotary_factor"]), c["rope_theta"])
    q, k = [rotate_first(rms_norm(y, w[f"{p}.{n}_norm.weight"], c["rms_norm_eps"]), angle) for n, y in (("q", q), ("k", k))]
    return linear(w, f"{p}.o_proj", attend(q, k, v))


def dbrx_shapes(c):
    dim, a, f = c["d_model"], c["attn_config"], c["ffn_config"]
    rows = f["moe_num_experts"] * f["ffn_hidden_size"]
    found = {"transformer.wte.weight": [c["vocab_size"], dim], "transformer.norm_f.weight": [dim], "lm_head.weight": [c["vocab_size"], dim]}
    for i in range(c["n_layers"]):
        p = f"transformer.blocks.{i}"
        found |= {
            f"{p}.norm_attn_norm.norm_1.weight": [dim],
            f"{p}.norm_attn_norm.norm_2.weight": [dim],
            f"{p}.norm_attn_norm.attn.Wqkv.weight": [dim + 2 * a["kv_n_heads"] * dim // c["n_heads"], dim],
            f"{p}.norm_attn_norm.attn.out_proj.weight": [dim, dim],
            f"{p}.ffn.router.layer.weight": [f["moe_num_experts"], dim],
        }
        found |= {f"{p}.ffn.experts.mlp.{name}": [rows, dim] for name in ("w1", "v1", "w2")}
    return found


def dbrx(c, w, tokens):
    dim, count, a, f = c["d_model"], c["n_heads"], c["attn_config"], c["ffn_config"]
    width, hidden = dim // count, f["ffn_hidden_size"]
    norm = lambda x, key: layer_norm(x, w[f"{key}.weight"], None, 1e-5)
    angle = angles(tokens.shape[1], width, a["rope_theta"])
    x = w["transformer.wte.weight"][tokens]
    for i in range(c["n_layers"]):
        p = f"transformer.blocks.{i}"
        own = f"{p}.norm_attn_norm"
        y = linear(w, f"{own}.attn.Wqkv", norm(x, f"{own}.norm_1")).clamp(-a["clip_qkv"], a["clip_qkv"])
        q, k, v = y.split([dim, a["kv_n_heads"] * width, a["kv_n_heads"] * width], -1)
        q, k, v = heads(q, count), heads(k, a["kv_n_heads"]), heads(v, a["kv_n_heads"])
        x = x + linear(w, f"{own}.attn.out_proj", attend(rotate_halves(q, angle), rotate_halves(k, angle), v))
        y = norm(x, f"{own}.norm_2")
        shares = linear(w, f"{p}.ffn.router.layer", y).softmax(-1)
        best = shares.topk(f["moe_top_k"], -1)
        gates = best.values / best.values.abs().sum(-1, keepdim=True)
        gates = torch.zeros_like(shares).scatter(-1, best.indices, gates)
        of = lambda name, e: w[f"{p}.ffn.experts.mlp.{name}"].unflatten(0, (-1, hidden))[e]
        expert = lambda e: (F.silu(y @ of("w1", e).T) * (y @ of("v1", e).T)) @ of("w2", e)
        x = x + sum(gates[..., e : e + 1] * expert(e) for e in range(f["moe_num_experts"]))
    return norm(x, "transformer.norm_f") @ w["lm_head.weight"].T


def logits(c, w, tokens):
    if c["model_type"] == "dbrx":
        return dbrx(c, w, tokens)
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"])
    attention = glm_attention if c["model_type"] == "glm4_moe" else latent_attention
    x = w["model.embed_tokens.weight"][tokens] * c.get("scale_emb", 1)
    update = c["scale_depth"] / math.sqrt(c["num_hidden_layers"]) if "scale_depth" in c else 1
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        x = x + attention(c, w, f"{p}.self_attn", norm(x, f"{p}.input_layernorm")) * update
        y = norm(x, f"{p}.post_attention_layernorm")
        dense = i < c.get("first_k_dense_replace", math.inf)
        x = x + (network(w, f"{p}.mlp", y) if dense else mixture(c, w, f"{p}.mlp", y)) * update
    x = norm(x, "model.norm")
    if c["model_type"] == "minicpm3":
        return x / (c["hidden_size"] / c["dim_model_base"]) @ w["model.embed_tokens.weight"].T
    return x @ w["lm_head.weight"].T
