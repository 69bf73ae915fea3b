"""GPT-NeoX and StableLM, from transformers' modular_gpt_neox.py and modeling_stablelm.py."""

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rotate_first


def shapes(c):
    dim, hidden, count, vocab = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["vocab_size"]
    width = dim // count
    found = {}

    def linear_map(name, rows, columns, biased):
        found[f"{name}.weight"] = [rows, columns]
        if biased:
            found[f"{name}.bias"] = [rows]

    def norm(name):
        found.update({f"{name}.weight": [dim], f"{name}.bias": [dim]})

    if c["model_type"] == "gpt_neox":
        found |= {"gpt_neox.embed_in.weight": [vocab, dim], "embed_out.weight": [vocab, dim]}
        norm("gpt_neox.final_layer_norm")
        for i in range(c["num_hidden_layers"]):
            p = f"gpt_neox.layers.{i}"
            norm(f"{p}.input_layernorm")
            norm(f"{p}.post_attention_layernorm")
            linear_map(f"{p}.attention.query_key_value", 3 * dim, dim, c["attention_bias"])
            linear_map(f"{p}.attention.dense", dim, dim, c["attention_bias"])
            linear_map(f"{p}.mlp.dense_h_to_4h", hidden, dim, True)
            linear_map(f"{p}.mlp.dense_4h_to_h", dim, hidden, True)
            # Older checkpoints have the mask and the number in its place, and the angles.
            found |= {f"{p}.attention.bias": [1, 1, 4, 4], f"{p}.attention.masked_bias": [], f"{p}.attention.rotary_emb.inv_freq": [2]}
        return found
    found |= {"model.embed_tokens.weight": [vocab, dim], "lm_head.weight": [vocab, dim]}
    norm("model.norm")
    groups = c["num_key_value_heads"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        norm(f"{p}.input_layernorm")
        if not c["use_parallel_residual"]:
            norm(f"{p}.post_attention_layernorm")
        for name, n in (("q", count), ("k", groups), ("v", groups)):
            linear_map(f"{p}.self_attn.{name}_proj", n * width, dim, c["use_qkv_bias"])
            if c["qk_layernorm"] and name != "v":
                found |= {f"{p}.self_attn.{name}_layernorm.norms.{h}.weight": [width] for h in range(n)}
        linear_map(f"{p}.self_attn.o_proj", dim, dim, False)
        linear_map(f"{p}.mlp.gate_proj", hidden, dim, False)
        linear_map(f"{p}.mlp.up_proj", hidden, dim, False)
        linear_map(f"{p}.mlp.down_proj", dim, hidden, False)
    return found


def neox_layer(c, w, p, x, angle):
    norm = lambda y, key: layer_norm(y, w[f"{key}.weight"], w[f"{key}.bias"], c["layer_norm_eps"])
    qkv = heads(linear(w, f"{p}.attention.query_key_value", norm(x, f"{p}.input_layernorm")), c["num_attention_heads"])
    q, k, v = qkv.chunk(3, -1)
    a = linear(w, f"{p}.attention.dense", attend(rotate_first(q, angle), rotate_first(k, angle), v))
    mlp = lambda y: linear(w, f"{p}.mlp.dense_4h_to_h", F.gelu(linear(w, f"{p}.mlp.dense_h_to_4h", y)))
    if c["use_parallel_residual"]:
        return mlp(norm(x, f"{p}.post_attention_layernorm")) + a + x
    return mlp(norm(a + x, f"{p}.post_attention_layernorm")) + a + x


def stablelm_layer(c, w, p, x, angle):
    norm = lambda y, key: layer_norm(y, w[f"{key}.weight"], w[f"{key}.bias"], c["layer_norm_eps"])
    h = norm(x, f"{p}.input_layernorm")
    q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
    if c["qk_layernorm"]:
        each = lambda y, n: torch.cat([layer_norm(y[:, h : h + 1], w[f"{p}.self_attn.{n}_layernorm.norms.{h}.weight"], None, c["layer_norm_eps"]) for h in range(y.shape[1])], 1)
        q, k = each(q, "q"), each(k, "k")
    a = linear(w, f"{p}.self_attn.o_proj", attend(rotate_first(q, angle), rotate_first(k, angle), v))
    mlp = lambda y: linear(w, f"{p}.mlp.down_proj", F.silu(linear(w, f"{p}.mlp.gate_proj", y)) * linear(w, f"{p}.mlp.up_proj", y))
    return x + a + mlp(h if c["use_parallel_residual"] else norm(x + a, f"{p}.post_attention_layernorm"))


def logits(c, w, tokens):
    isNeox = c["model_type"] == "gpt_neox"
    width = c["hidden_size"] // c["num_attention_heads"]
    theta, share = (c["rotary_emb_base"], c["rotary_pct"]) if isNeox else (c["rope_theta"], c["partial_rotary_factor"])
    angle = angles(tokens.shape[1], int(width * share), theta)
    x = w["gpt_neox.embed_in.weight" if isNeox else "model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        x = neox_layer(c, w, f"gpt_neox.layers.{i}", x, angle) if isNeox else stablelm_layer(c, w, f"model.layers.{i}", x, angle)
    last = "gpt_neox.final_layer_norm" if isNeox else "model.norm"
    x = layer_norm(x, w[f"{last}.weight"], w[f"{last}.bias"], c["layer_norm_eps"])
    return linear(w, "embed_out" if isNeox else "lm_head", x)
