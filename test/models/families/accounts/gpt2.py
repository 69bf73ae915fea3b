"""GPT-2, OPT, BLOOM, Falcon and MPT, from transformers' modeling_gpt2.py, modeling_opt.py, modeling_bloom.py,
modeling_falcon.py and modeling_mpt.py."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rotate_halves

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


def sizes(c):
    """Width, hidden width, layers, heads, heads of keys."""
    kind = c["model_type"]
    if kind == "gpt2":
        return c["n_embd"], c.get("n_inner") or 4 * c["n_embd"], c["n_layer"], c["n_head"], c["n_head"]
    if kind == "opt":
        return c["hidden_size"], c["ffn_dim"], c["num_hidden_layers"], *[c["num_attention_heads"]] * 2
    if kind == "bloom":
        return c["hidden_size"], 4 * c["hidden_size"], c["n_layer"], c["n_head"], c["n_head"]
    if kind == "mpt":
        return c["d_model"], c["expansion_ratio"] * c["d_model"], c["n_layers"], c["n_heads"], c["n_heads"]
    count = c["num_attention_heads"]
    keys = c["num_kv_heads"] if c["new_decoder_architecture"] else 1 if c["multi_query"] else count
    return c["hidden_size"], c.get("ffn_hidden_size") or 4 * c["hidden_size"], c["num_hidden_layers"], count, keys


def prefix(c):
    """Older folders have no prefix, and the mask of each layer."""
    return "" if c["transformers_version"].startswith("2.") else "transformer."


def falcon_norms(c):
    if c["new_decoder_architecture"] and c.get("num_ln_in_parallel_attn") != 1:
        return ["ln_attn", "ln_mlp"]
    return ["input_layernorm"] + ([] if c["parallel_attn"] else ["post_attention_layernorm"])


def shapes(c):
    kind = c["model_type"]
    dim, hidden, depth, count, keys = sizes(c)
    head = dim // count
    found = {}

    def norm(key):
        if kind == "opt" and not c.get("layer_norm_elementwise_affine", True):
            return
        found[f"{key}.weight"] = [dim]
        if kind != "mpt":
            found[f"{key}.bias"] = [dim]

    def full(key, rows, columns, biased, turned=False):
        found[f"{key}.weight"] = [columns, rows] if turned else [rows, columns]
        if biased:
            found[f"{key}.bias"] = [rows]

    if kind == "gpt2":
        p = prefix(c)
        found |= {f"{p}wte.weight": [c["vocab_size"], dim], f"{p}wpe.weight": [c["n_positions"], dim]}
        for i in range(depth):
            h = f"{p}h.{i}"
            norm(f"{h}.ln_1"), norm(f"{h}.ln_2")
            full(f"{h}.attn.c_attn", 3 * dim, dim, True, True), full(f"{h}.attn.c_proj", dim, dim, True, True)
            full(f"{h}.mlp.c_fc", hidden, dim, True, True), full(f"{h}.mlp.c_proj", dim, hidden, True, True)
            if p == "":
                found[f"{h}.attn.bias"] = [1, 1, c["n_positions"], c["n_positions"]]
                found[f"{h}.attn.masked_bias"] = [1]
        norm(f"{p}ln_f")
    elif kind == "opt":
        p, bias = "model.decoder", c.get("enable_bias", True)
        found |= {f"{p}.embed_tokens.weight": [c["vocab_size"], dim]}
        found |= {f"{p}.embed_positions.weight": [c["max_position_embeddings"] + 2, dim]}
        for i in range(depth):
            h = f"{p}.layers.{i}"
            norm(f"{h}.self_attn_layer_norm"), norm(f"{h}.final_layer_norm")
            for x in ("q_proj", "k_proj", "v_proj", "out_proj"):
                full(f"{h}.self_attn.{x}", dim, dim, bias)
            full(f"{h}.fc1", hidden, dim, bias), full(f"{h}.fc2", dim, hidden, bias)
        norm(f"{p}.final_layer_norm")
    elif kind == "mpt":
        found["transformer.wte.weight"] = [c["vocab_size"], dim]
        for i in range(depth):
            h = f"transformer.blocks.{i}"
            norm(f"{h}.norm_1"), norm(f"{h}.norm_2")
            full(f"{h}.attn.Wqkv", 3 * dim, dim, False), full(f"{h}.attn.out_proj", dim, dim, False)
            full(f"{h}.ffn.up_proj", hidden, dim, False), full(f"{h}.ffn.down_proj", dim, hidden, False)
        norm("transformer.norm_f")
    else:
        bias = kind == "bloom" or c["bias"]
        norms = ["input_layernorm", "post_attention_layernorm"] if kind == "bloom" else falcon_norms(c)
        found["transformer.word_embeddings.weight"] = [c["vocab_size"], dim]
        if kind == "bloom":
            norm("transformer.word_embeddings_layernorm")
        for i in range(depth):
            h = f"transformer.h.{i}"
            for x in norms:
                norm(f"{h}.{x}")
            full(f"{h}.self_attention.query_key_value", (count + 2 * keys) * head, dim, bias)
            full(f"{h}.self_attention.dense", dim, dim, bias)
            full(f"{h}.mlp.dense_h_to_4h", hidden, dim, bias), full(f"{h}.mlp.dense_4h_to_h", dim, hidden, bias)
        norm("transformer.ln_f")
        if not c.get("tie_word_embeddings", True):
            found["lm_head.weight"] = [c["vocab_size"], dim]
    return found


def conv1d(w, key, x):
    return x @ w[f"{key}.weight"] + w[f"{key}.bias"]


def bloom_slopes(count):
    nearest = 2 ** math.floor(math.log2(count))
    base = 2.0 ** -(2.0 ** -(math.log2(nearest) - 3))
    found = [base**n for n in range(1, nearest + 1)]
    extra = 2.0 ** -(2.0 ** -(math.log2(2 * nearest) - 3))
    return torch.tensor(found + [extra**n for n in range(1, 1 + 2 * (count - nearest), 2)], dtype=torch.float64)


def mpt_slopes(count, most):
    power = 2 ** math.ceil(math.log2(count))
    found = 1 / 2.0 ** (torch.arange(1, power + 1, dtype=torch.float64) * (most / power))
    return found if power == count else torch.cat([found[1::2], found[::2]])[:count]


def by_key(slopes, tokens):
    """The bias of each head and key, [heads, 1, keys]; it grows with the key's position."""
    return slopes[:, None, None] * torch.arange(tokens, dtype=torch.float64)


def fused(y, keys, width):
    """Queries, keys and values of rows that lie by groups."""
    group = y.unflatten(-1, (keys, -1, width))
    q, k, v = group[..., :-2, :], group[..., -2:-1, :], group[..., -1:, :]
    return [x.flatten(2, 3).transpose(1, 2) for x in (q, k, v)]


def logits(c, w, tokens):
    kind = c["model_type"]
    dim, _, depth, count, keys = sizes(c)
    width, length = dim // count, tokens.shape[1]
    eps = c.get("layer_norm_epsilon", 1e-5)
    norm = lambda x, key: layer_norm(x, w.get(f"{key}.weight"), w.get(f"{key}.bias"), eps)
    if kind == "gpt2":
        p, act = prefix(c), ACTIVATIONS[c["activation_function"]]
        table = w[f"{p}wte.weight"]
        x = table[tokens] + w[f"{p}wpe.weight"][:length]
        for i in range(depth):
            h = f"{p}h.{i}"
            q, k, v = [heads(y, count) for y in conv1d(w, f"{h}.attn.c_attn", norm(x, f"{h}.ln_1")).split(dim, -1)]
            scale = None if c.get("scale_attn_weights", True) else 1.0
            x = x + conv1d(w, f"{h}.attn.c_proj", attend(q, k, v, scale))
            x = x + conv1d(w, f"{h}.mlp.c_proj", act(conv1d(w, f"{h}.mlp.c_fc", norm(x, f"{h}.ln_2"))))
        return norm(x, f"{p}ln_f") @ table.T
    if kind == "opt":
        p = "model.decoder"
        table = w[f"{p}.embed_tokens.weight"]
        x = table[tokens] + w[f"{p}.embed_positions.weight"][2 : length + 2]
        for i in range(depth):
            h = f"{p}.layers.{i}"
            y = norm(x, f"{h}.self_attn_layer_norm")
            q, k, v = [heads(linear(w, f"{h}.self_attn.{n}_proj", y), count) for n in "qkv"]
            x = x + linear(w, f"{h}.self_attn.out_proj", attend(q, k, v))
            x = x + linear(w, f"{h}.fc2", F.relu(linear(w, f"{h}.fc1", norm(x, f"{h}.final_layer_norm"))))
        return norm(x, f"{p}.final_layer_norm") @ table.T
    if kind == "mpt":
        a = c["attn_config"]
        table = w["transformer.wte.weight"]
        x = table[tokens]
        bias = by_key(mpt_slopes(count, a["alibi_bias_max"]), length)
        for i in range(depth):
            h = f"transformer.blocks.{i}"
            y = linear(w, f"{h}.attn.Wqkv", norm(x, f"{h}.norm_1"))
            if a["clip_qkv"]:
                y = y.clamp(min=-a["clip_qkv"], max=a["clip_qkv"])
            q, k, v = [heads(z, count) for z in y.chunk(3, -1)]
            x = x + linear(w, f"{h}.attn.out_proj", attend(q, k, v, a["softmax_scale"], bias=bias))
            x = x + linear(w, f"{h}.ffn.down_proj", F.gelu(linear(w, f"{h}.ffn.up_proj", norm(x, f"{h}.norm_2"))))
        return norm(x, "transformer.norm_f") @ table.T
    table = w["transformer.word_embeddings.weight"]
    x = table[tokens]
    act = ACTIVATIONS["gelu_new" if kind == "bloom" else c.get("activation", "gelu")]
    if kind == "bloom":
        x = norm(x, "transformer.word_embeddings_layernorm")
    alibi = kind == "bloom" or c["alibi"]
    bias = by_key(bloom_slopes(count), length) * (1 if kind == "bloom" else 1 / math.sqrt(width)) if alibi else None
    for i in range(depth):
        h = f"transformer.h.{i}"
        norms = ["input_layernorm", "post_attention_layernorm"] if kind == "bloom" else falcon_norms(c)
        y = norm(x, f"{h}.{norms[0]}")
        q, k, v = fused(linear(w, f"{h}.self_attention.query_key_value", y), keys, width)
        if not alibi:
            angle = angles(length, width, c["rope_theta"])
            q, k = rotate_halves(q, angle), rotate_halves(k, angle)
        a = linear(w, f"{h}.self_attention.dense", attend(q, k, v, bias=bias))
        mlp = lambda z: linear(w, f"{h}.mlp.dense_4h_to_h", act(linear(w, f"{h}.mlp.dense_h_to_4h", z)))
        if norms[-1] == "post_attention_layernorm":
            x = x + a
            x = x + mlp(norm(x, f"{h}.{norms[1]}"))
        else:
            x = x + a + mlp(norm(x, f"{h}.ln_mlp") if len(norms) == 2 else y)
    return norm(x, "transformer.ln_f") @ (w["lm_head.weight"] if "lm_head.weight" in w else table).T
