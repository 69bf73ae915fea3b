"""A decoder as transformers' modeling_llama.py computes it. What a family does otherwise is given by arguments."""

import math

import torch.nn.functional as F
from parts import angles, attend, heads, linear, rms_norm, rotate_halves

GATED = ("gate_proj", "up_proj", "down_proj")
BEFORE = ("input_layernorm", "post_attention_layernorm")


def head_width(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def shapes(c, biased=(), maps=GATED, norms=BEFORE, norm_bias=False, head_norms=()):
    """`biased`: the names of linear maps with a bias; `maps`: those of the network, the one back to the stream last."""
    dim, hidden, width = c["hidden_size"], c["intermediate_size"], head_width(c)
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim]}
    linears = {f"self_attn.{n}_proj": s for n, s in (("q", [q, dim]), ("k", [kv, dim]), ("v", [kv, dim]), ("o", [dim, q]))}
    linears |= {f"mlp.{n}": [dim, hidden] if n == maps[-1] else [hidden, dim] for n in maps}
    normed = ["model.norm"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        for name, shape in linears.items():
            found[f"{p}.{name}.weight"] = shape
            if name.split(".")[1] in biased:
                found[f"{p}.{name}.bias"] = shape[:1]
        normed += [f"{p}.{n}" for n in norms]
        found |= {f"{p}.self_attn.{n}.weight": [width] for n in head_norms}
    for name in normed:
        found[f"{name}.weight"] = [dim]
        if norm_bias:
            found[f"{name}.bias"] = [dim]
    if not c["tie_word_embeddings"]:
        found["lm_head.weight"] = [c["vocab_size"], dim]
    return found


def plain_angles(c, tokens):
    """The angles of all layers, from rope_theta."""
    return angles(tokens.shape[1], head_width(c), c["rope_theta"])


def gated(w, p, x, act=F.silu):
    return linear(w, f"{p}.down_proj", act(linear(w, f"{p}.gate_proj", x)) * linear(w, f"{p}.up_proj", x))


def logits(c, w, tokens, norm=None, turn=None, headed=None, window=None, scale=None, network=gated, embedding=1.0, update=1.0, norms=BEFORE, behind=False, behind_turn=None):
    """
    `norm(x, key)`; `turn(x, layer)` rotates heads; `headed(x, key)` and `behind_turn(x, key)` norm them before and after;
    `window(layer)`; `network(w, prefix, x)`; `embedding`, `update`: factors; `behind`: norms are of what is added.
    """
    norm = norm or (lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"]))
    angle = plain_angles(c, tokens) if turn is None else None
    turn = turn or (lambda x, i: rotate_halves(x, angle))

    def turned(x, i, key):
        y = turn(headed(x, key) if headed else x, i)
        return behind_turn(y, key) if behind_turn else y

    scale = 1 / math.sqrt(head_width(c)) if scale is None else scale
    x = w["model.embed_tokens.weight"][tokens] * embedding
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"

        def attention(h):
            q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", h), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
            a = attend(turned(q, i, f"{p}.self_attn.q"), turned(k, i, f"{p}.self_attn.k"), v, scale, window=window(i) if window else None)
            return linear(w, f"{p}.self_attn.o_proj", a)

        for part, key in ((attention, norms[0]), (lambda h: network(w, f"{p}.mlp", h), norms[1])):
            x = x + (norm(part(x), f"{p}.{key}") if behind else part(norm(x, f"{p}.{key}")) * update)
    head = w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
    return norm(x, "model.norm") @ head.T
