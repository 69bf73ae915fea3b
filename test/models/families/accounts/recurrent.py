"""LFM2 and RecurrentGemma, from transformers' modular_lfm2.py and modeling_recurrent_gemma.py. RecurrentGemma's attention
has its window in every text, as Griffin's paper says (arXiv 2402.19427)."""

import torch
import torch.nn.functional as F
from account import initial as usual
from parts import angles, attend, heads, linear, rms_norm, rotate_first, rotate_halves, short_conv


def initial(key, shape, generator):
    """Decays of the recurrence near 1, so that states matter."""
    values = usual(key, shape, generator)
    return values - 3.0 if key.endswith("recurrent_param") else values


def is_gemma(c):
    return c["model_type"] == "recurrent_gemma"


def has_attention(c, i):
    if is_gemma(c):
        return c["block_types"][i % len(c["block_types"])] == "attention"
    return c["layer_types"][i] == "full_attention" if "layer_types" in c else i in c["full_attn_idxs"]


def lfm2_hidden(c):
    width = c.get("block_ff_dim", c.get("intermediate_size"))
    if not c["block_auto_adjust_ff_dim"]:
        return width
    wide, multiple = int(c["block_ffn_dim_multiplier"] * int(2 * width / 3)), c["block_multiple_of"]
    return multiple * ((wide + multiple - 1) // multiple)


def lfm2_layer(c, p, i):
    dim, width, bias = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"], c["conv_bias"]
    kv, hidden = c["num_key_value_heads"] * width, lfm2_hidden(c)
    found = {f"{p}.operator_norm.weight": [dim], f"{p}.ffn_norm.weight": [dim]}
    found |= {f"{p}.feed_forward.{n}.weight": shape for n, shape in (("w1", [hidden, dim]), ("w3", [hidden, dim]), ("w2", [dim, hidden]))}
    if has_attention(c, i):
        maps = (("q_proj", dim), ("k_proj", kv), ("v_proj", kv), ("out_proj", dim))
        found |= {f"{p}.self_attn.{n}.weight": [rows, dim] for n, rows in maps}
        return found | {f"{p}.self_attn.{n}_layernorm.weight": [width] for n in "qk"}
    for name, shape in (("conv", [dim, 1, c["conv_L_cache"]]), ("in_proj", [3 * dim, dim]), ("out_proj", [dim, dim])):
        found[f"{p}.conv.{name}.weight"] = shape
        if bias:
            found[f"{p}.conv.{name}.bias"] = shape[:1]
    return found


def gemma_layer(c, p, i):
    dim, width, hidden = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"], c["intermediate_size"] // 2
    kv, lru, blocks = c["num_key_value_heads"] * width, c["lru_width"], c["num_attention_heads"]
    found = {f"{p}.temporal_pre_norm.weight": [dim], f"{p}.channel_pre_norm.weight": [dim]}

    def add(name, rows, columns, bias=True):
        found[f"{p}.{name}.weight"] = [rows, columns]
        if bias:
            found[f"{p}.{name}.bias"] = [rows]

    for name in ("gate_proj", "up_proj"):
        add(f"mlp_block.{name}", hidden, dim)
    add("mlp_block.down_proj", dim, hidden)
    if has_attention(c, i):
        for name, rows in (("q_proj", dim), ("k_proj", kv), ("v_proj", kv)):
            add(f"temporal_block.{name}", rows, dim, c["attention_bias"])
        add("temporal_block.o_proj", dim, dim)
        return found
    add("temporal_block.linear_x", lru, dim)
    add("temporal_block.linear_y", lru, dim)
    add("temporal_block.linear_out", dim, lru)
    found |= {f"{p}.temporal_block.conv_1d.weight": [lru, 1, c["conv1d_width"]], f"{p}.temporal_block.conv_1d.bias": [lru]}
    for gate in ("input_gate", "recurrent_gate"):
        found[f"{p}.temporal_block.rg_lru.{gate}_weight"] = [blocks, lru // blocks, lru // blocks]
        found[f"{p}.temporal_block.rg_lru.{gate}_bias"] = [blocks, lru // blocks]
    found[f"{p}.temporal_block.rg_lru.recurrent_param"] = [lru]
    return found


def shapes(c):
    dim = c["hidden_size"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim]}
    found["model.final_norm.weight" if is_gemma(c) else "model.embedding_norm.weight"] = [dim]
    for i in range(c["num_hidden_layers"]):
        found |= (gemma_layer if is_gemma(c) else lfm2_layer)(c, f"model.layers.{i}", i)
    return found


def attention(c, w, p, x, angle, norm, out, window):
    q, k, v = [heads(linear(w, f"{p}.{n}_proj", x), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
    rotate = lambda y: rotate_first(y, angle, rotate_halves)
    return linear(w, f"{p}.{out}", attend(rotate(norm(q, "q")), rotate(norm(k, "k")), v, window=window))


def lfm2_conv(w, p, x):
    before, behind, rows = linear(w, f"{p}.in_proj", x).chunk(3, -1)
    y = short_conv(before * rows, w[f"{p}.conv.weight"], w.get(f"{p}.conv.bias"))
    return linear(w, f"{p}.out_proj", behind * y)


class BoundedRoot(torch.autograd.Function):
    """The square root, whose derivative is at most 1000 (SqrtBoundDerivative)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sqrt()

    @staticmethod
    def backward(ctx, given):
        return given / (4.0 * ctx.saved_tensors[0]).clamp(min=1e-6).sqrt()


def griffin(c, w, p, x):
    rows = short_conv(linear(w, f"{p}.linear_x", x), w[f"{p}.conv_1d.weight"], w[f"{p}.conv_1d.bias"])
    blocks = rows.unflatten(-1, (c["num_attention_heads"], -1))

    def gate(name):
        y = torch.einsum("bthi,hij->bthj", blocks, w[f"{p}.rg_lru.{name}_weight"]) + w[f"{p}.rg_lru.{name}_bias"]
        return y.flatten(2).sigmoid()

    decay = -8.0 * gate("recurrent_gate") * F.softplus(w[f"{p}.rg_lru.recurrent_param"])
    root = BoundedRoot.apply(1 - (2 * decay).exp())
    root = torch.cat([torch.ones_like(root[:, :1]), root[:, 1:]], 1)
    given = rows * gate("input_gate") * root
    state, found = torch.zeros_like(given[:, 0]), []
    for t in range(x.shape[1]):
        state = decay[:, t].exp() * state + given[:, t]
        found.append(state)
    gelu = F.gelu(linear(w, f"{p}.linear_y", x), approximate="tanh")
    return linear(w, f"{p}.linear_out", torch.stack(found, 1) * gelu)


def lfm2(c, w, tokens):
    norm = lambda y, key: rms_norm(y, w[f"{key}.weight"], c["norm_eps"])
    angle = angles(tokens.shape[1], c["hidden_size"] // c["num_attention_heads"], c["rope_theta"])
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.operator_norm")
        of = lambda y, n: norm(y, f"{p}.self_attn.{n}_layernorm")
        x = x + (attention(c, w, f"{p}.self_attn", h, angle, of, "out_proj", None) if has_attention(c, i) else lfm2_conv(w, f"{p}.conv", h))
        f, h = f"{p}.feed_forward", norm(x, f"{p}.ffn_norm")
        x = x + linear(w, f"{f}.w2", F.silu(linear(w, f"{f}.w1", h)) * linear(w, f"{f}.w3", h))
    return norm(x, "model.embedding_norm") @ w["model.embed_tokens.weight"].T


def recurrent_gemma(c, w, tokens):
    norm = lambda y, key: rms_norm(y, 1 + w[f"{key}.weight"], c["rms_norm_eps"])
    width = c["hidden_size"] // c["num_attention_heads"]
    angle = angles(tokens.shape[1], int(width * c["partial_rotary_factor"]), c["rope_theta"])
    factor = torch.tensor(c["hidden_size"] ** 0.5, dtype=torch.bfloat16).item()
    x = w["model.embed_tokens.weight"][tokens] * factor
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        t, h = f"{p}.temporal_block", norm(x, f"{p}.temporal_pre_norm")
        window = c["attention_window_size"]
        x = x + (attention(c, w, t, h, angle, lambda y, _: y, "o_proj", window) if has_attention(c, i) else griffin(c, w, t, h))
        f, h = f"{p}.mlp_block", norm(x, f"{p}.channel_pre_norm")
        x = x + linear(w, f"{f}.down_proj", F.gelu(linear(w, f"{f}.gate_proj", h), approximate="tanh") * linear(w, f"{f}.up_proj", h))
    y = norm(x, "model.final_norm") @ w["model.embed_tokens.weight"].T
    return c["logits_soft_cap"] * torch.tanh(y / c["logits_soft_cap"])


def logits(c, w, tokens):
    return (recurrent_gemma if is_gemma(c) else lfm2)(c, w, tokens)
