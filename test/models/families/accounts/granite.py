"""Granite, from transformers' modeling_granite.py, and MiniCPM, from OpenBMB's modeling_minicpm.py."""

import math

import llama


def shapes(c):
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"] if c["attention_bias"] else []
    return llama.shapes(c, biased=attention + (list(llama.GATED) if c.get("mlp_bias") else []))


def logits(c, w, tokens):
    if c["model_type"] == "granite":
        found = llama.logits(c, w, tokens, scale=c["attention_multiplier"], embedding=c["embedding_multiplier"], update=c["residual_multiplier"])
        return found / c["logits_scaling"]
    found = llama.logits(c, w, tokens, embedding=c["scale_emb"], update=c["scale_depth"] / math.sqrt(c["num_hidden_layers"]))
    return found / (c["hidden_size"] / c["dim_model_base"])
