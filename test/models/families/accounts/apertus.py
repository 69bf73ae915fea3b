"""Apertus, from transformers' modeling_apertus.py and XIELUActivation, and Hunyuan, from its modeling_hunyuan_v1_dense.py."""

import math

import llama
import torch
import torch.nn.functional as F
from account import initial as usual
from llama import head_width
from parts import angles, linear, rms_norm, rotate_halves

ALL = ("q_proj", "k_proj", "v_proj", "o_proj")
NORMS = ("attention_layernorm", "feedforward_layernorm")


def shapes(c):
    biased = ALL if c["attention_bias"] else ()
    if c["model_type"] == "hunyuan_v1_dense":
        return llama.shapes(c, biased=biased, head_norms=("query_layernorm", "key_layernorm"))
    found = llama.shapes(c, biased=biased, maps=("up_proj", "down_proj"), norms=NORMS, head_norms=("q_norm", "k_norm"))
    for i in range(c["num_hidden_layers"]):
        act = f"model.layers.{i}.mlp.act_fn"
        found |= {f"{act}.alpha_p": [1], f"{act}.alpha_n": [1], f"{act}.beta": [], f"{act}.eps": []}
    return found


def initial(key, shape, generator):
    """The activation's buffers near their values; eps far enough from 0 that it matters."""
    if key.endswith("act_fn.beta"):
        return torch.tensor(0.5) + 0.1 * torch.randn(shape, generator=generator)
    if key.endswith("act_fn.eps"):
        return torch.tensor(-0.05)
    return usual(key, shape, generator)


def xielu(w, p, x):
    beta = w[f"{p}.beta"]
    alpha_p, alpha_n = F.softplus(w[f"{p}.alpha_p"]), beta + F.softplus(w[f"{p}.alpha_n"])
    low = torch.expm1(torch.minimum(x, w[f"{p}.eps"])) - x
    return torch.where(x > 0, alpha_p * x * x + beta * x, low * alpha_n + beta * x)


def scaled(angle, theta, width, scaling):
    """Llama 3's scaling of angles [tokens, width / 2]."""
    frequency = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    length, original = 2 * math.pi / frequency, scaling["original_max_position_embeddings"]
    low, high = original / scaling["low_freq_factor"], original / scaling["high_freq_factor"]
    smooth = (original / length - scaling["low_freq_factor"]) / (scaling["high_freq_factor"] - scaling["low_freq_factor"])
    between = (1 - smooth) / scaling["factor"] + smooth
    return angle * torch.where(length > low, 1 / scaling["factor"], torch.where(length < high, 1.0, between))


def logits(c, w, tokens):
    width, theta = head_width(c), c["rope_theta"]
    scaling = c["rope_scaling"] or {}
    if scaling.get("type") == "dynamic":
        theta = theta * scaling["alpha"] ** (width / (width - 2))
    angle = angles(tokens.shape[1], width, theta)
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"])
    if c["model_type"] == "apertus":
        angle = scaled(angle, theta, width, scaling)
        network = lambda w, p, x: linear(w, f"{p}.down_proj", xielu(w, f"{p}.act_fn", linear(w, f"{p}.up_proj", x)))
        return llama.logits(c, w, tokens, headed=lambda x, key: norm(x, f"{key}_norm"), turn=lambda x, i: rotate_halves(x, angle), norms=NORMS, network=network)
    named = lambda key: key[:-1] + ("query" if key[-1] == "q" else "key") + "_layernorm"
    return llama.logits(c, w, tokens, turn=lambda x, i: rotate_halves(x, angle), behind_turn=lambda x, key: norm(x, named(key)))
