"""SmolLM3, Seed-OSS, Arcee, Nemotron, StarCoder2, Helium, EXAONE 4 and ERNIE 4.5, from transformers' modeling files."""

import torch.nn.functional as F
import llama
from llama import GATED, head_width, plain_angles
from parts import layer_norm, linear, rms_norm, rotate_first, rotate_halves, rotate_neighbours

QKV, ALL = ["q_proj", "k_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]


def shapes(c):
    attention, mlp = c.get("attention_bias"), c.get("mlp_bias")
    kind = c["model_type"]
    if kind == "smollm3":
        return llama.shapes(c, biased=(ALL if attention else []) + (list(GATED) if mlp else []))
    if kind == "seed_oss":
        return llama.shapes(c, biased=(QKV if attention else []) + (["o_proj"] if c["attention_out_bias"] else []) + (list(GATED) if mlp else []))
    if kind in ("arcee", "nemotron"):
        maps = ("up_proj", "down_proj")
        return llama.shapes(c, biased=(ALL if attention else []) + (list(maps) if mlp else []), maps=maps, norm_bias=kind == "nemotron")
    if kind == "starcoder2":
        maps = ("c_fc", "c_proj")
        return llama.shapes(c, biased=ALL + list(maps) if c["use_bias"] else [], maps=maps, norm_bias=True)
    if kind == "helium":
        return llama.shapes(c, biased=(QKV if attention else []) + (list(GATED) if mlp else []))
    if kind == "exaone4":
        return llama.shapes(c, norms=("post_attention_layernorm", "post_feedforward_layernorm"), head_norms=("q_norm", "k_norm"))
    return llama.shapes(c, biased=ALL + list(GATED) if c["use_bias"] else [])


def plain(act, up="up_proj", down="down_proj"):
    return lambda w, p, x: linear(w, f"{p}.{down}", act(linear(w, f"{p}.{up}", x)))


def relu2(x):
    return F.relu(x) ** 2


def logits(c, w, tokens):
    kind = c["model_type"]
    angle = plain_angles(c, tokens)
    if kind == "smollm3":
        sliding = lambda i: c["use_sliding_window"] and c["layer_types"][i] == "sliding_attention"
        return llama.logits(c, w, tokens, turn=lambda x, i: rotate_halves(x, angle) if c["no_rope_layers"][i] else x, window=lambda i: c["sliding_window"] if sliding(i) else None)
    if kind == "seed_oss":
        return llama.logits(c, w, tokens)
    if kind == "arcee":
        return llama.logits(c, w, tokens, network=plain(relu2))
    if kind == "nemotron":
        width = int(head_width(c) * c["partial_rotary_factor"])
        part = llama.angles(tokens.shape[1], width, c["rope_theta"])
        norm = lambda x, key: layer_norm(x, w[f"{key}.weight"] + 1, w[f"{key}.bias"], c["norm_eps"])
        return llama.logits(c, w, tokens, norm=norm, turn=lambda x, i: rotate_first(x, part), network=plain(relu2))
    if kind == "starcoder2":
        norm = lambda x, key: layer_norm(x, w[f"{key}.weight"], w[f"{key}.bias"], c["norm_epsilon"])
        act = lambda x: F.gelu(x, approximate="tanh")
        return llama.logits(c, w, tokens, norm=norm, window=lambda i: c["sliding_window"], network=plain(act, "c_fc", "c_proj"))
    if kind in ("helium", "ernie4_5"):
        return llama.logits(c, w, tokens, turn=lambda x, i: rotate_neighbours(x, angle))
    sliding = lambda i: c["layer_types"][i] == "sliding_attention"
    return llama.logits(
        c,
        w,
        tokens,
        norms=("post_attention_layernorm", "post_feedforward_layernorm"),
        behind=True,
        headed=lambda x, key: rms_norm(x, w[f"{key}_norm.weight"], c["rms_norm_eps"]),
        turn=lambda x, i: rotate_halves(x, angle) if c["sliding_window"] is None or sliding(i) else x,
        window=lambda i: c["sliding_window"] if sliding(i) else None,
    )
