"""Decoders with other heads, from transformers' modeling_layers.py (GenericForSequenceClassification)."""

import llama
import torch
from encoder import pooled


def inner(c):
    return {**c, "tie_word_embeddings": False}


def shapes(c):
    found = llama.shapes(inner(c), biased=("q_proj", "k_proj", "v_proj") if c["model_type"] == "qwen2" else ())
    del found["lm_head.weight"]
    if c["architectures"][0].endswith("Model"):
        return {key.removeprefix("model."): shape for key, shape in found.items()}
    return found | {"score.weight": [len(c["id2label"]), c["hidden_size"]]}


def results(c, w, tokens, sentences):
    dim = c["hidden_size"]
    named = {f"model.{key}": value for key, value in w.items()} if c["architectures"][0].endswith("Model") else w
    # The account of logits over a head that changes nothing is that of the rows behind the last norm.
    x = llama.logits(inner(c), {**named, "lm_head.weight": torch.eye(dim, dtype=torch.float64)}, tokens)
    if sentences:
        return {"hidden": x, "pooled": pooled(x, sentences)}
    if c["architectures"][0].endswith("Model"):
        return {"hidden": x, "pooled": x[:, -1]}
    return {"logits": x[:, -1] @ w["score.weight"].T}
