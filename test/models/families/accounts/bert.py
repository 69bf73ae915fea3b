"""BERT, RoBERTa and XLM-RoBERTa, from transformers' modeling_bert.py and modeling_roberta.py."""

import torch
import torch.nn.functional as F
from encoder import pooled
from parts import heads, layer_norm, linear


def prefix_of(c):
    kind = c["architectures"][0]
    return "" if kind.endswith("Model") else "bert." if c["model_type"] == "bert" else "roberta."


def shapes(c):
    dim, hidden, vocab, kind = c["hidden_size"], c["intermediate_size"], c["vocab_size"], c["architectures"][0]
    p, labels = prefix_of(c), len(c.get("id2label", {0: 0, 1: 1}))
    isBert = c["model_type"] == "bert"
    found = {
        f"{p}embeddings.word_embeddings.weight": [vocab, dim],
        f"{p}embeddings.position_embeddings.weight": [c["max_position_embeddings"], dim],
        f"{p}embeddings.token_type_embeddings.weight": [c["type_vocab_size"], dim],
        f"{p}embeddings.position_ids": [1, 4],
    }

    def map_of(key, rows, columns):
        found.update({f"{key}.weight": [rows, columns], f"{key}.bias": [rows]})

    def norm(key):
        older = c.get("transformers_version", "").startswith("2.")
        found.update({f"{key}.{'gamma' if older else 'weight'}": [dim], f"{key}.{'beta' if older else 'bias'}": [dim]})

    norm(f"{p}embeddings.LayerNorm")
    for i in range(c["num_hidden_layers"]):
        at = f"{p}encoder.layer.{i}"
        for name in ("query", "key", "value"):
            map_of(f"{at}.attention.self.{name}", dim, dim)
        map_of(f"{at}.attention.output.dense", dim, dim)
        norm(f"{at}.attention.output.LayerNorm")
        map_of(f"{at}.intermediate.dense", hidden, dim)
        map_of(f"{at}.output.dense", dim, hidden)
        norm(f"{at}.output.LayerNorm")
    if kind.endswith("Model") or isBert and kind.endswith(("SequenceClassification", "MaskedLM")):
        map_of(f"{p}pooler.dense", dim, dim)
    if kind.endswith("SequenceClassification"):
        if not isBert:
            map_of("classifier.dense", dim, dim)
        map_of("classifier" if isBert else "classifier.out_proj", labels, dim)
    if kind.endswith("MaskedLM"):
        map_of("cls.predictions.transform.dense" if isBert else "lm_head.dense", dim, dim)
        norm("cls.predictions.transform.LayerNorm" if isBert else "lm_head.layer_norm")
        found["cls.predictions.bias" if isBert else "lm_head.bias"] = [vocab]
        if isBert:
            map_of("cls.seq_relationship", 2, dim)
    return found


def normed(c, w, key, x):
    either = lambda *names: next(w[f"{key}.{name}"] for name in names if f"{key}.{name}" in w)
    return layer_norm(x, either("weight", "gamma"), either("bias", "beta"), c["layer_norm_eps"])


def hidden_states(c, w, tokens):
    p = prefix_of(c)
    positions = torch.arange(tokens.shape[1])
    if c["model_type"] != "bert":
        positions = positions + c["pad_token_id"] + 1
    x = w[f"{p}embeddings.word_embeddings.weight"][tokens] + w[f"{p}embeddings.token_type_embeddings.weight"][torch.zeros_like(tokens)]
    x = normed(c, w, f"{p}embeddings.LayerNorm", x + w[f"{p}embeddings.position_embeddings.weight"][positions])
    for i in range(c["num_hidden_layers"]):
        at = f"{p}encoder.layer.{i}"
        q, k, v = [heads(linear(w, f"{at}.attention.self.{n}", x), c["num_attention_heads"]) for n in ("query", "key", "value")]
        shares = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        a = linear(w, f"{at}.attention.output.dense", (shares @ v).transpose(1, 2).flatten(2))
        x = normed(c, w, f"{at}.attention.output.LayerNorm", x + a)
        m = linear(w, f"{at}.output.dense", activation(c)(linear(w, f"{at}.intermediate.dense", x)))
        x = normed(c, w, f"{at}.output.LayerNorm", x + m)
    return x


def activation(c):
    return {"gelu": F.gelu, "relu": F.relu}[c["hidden_act"]]


def results(c, w, tokens, sentences):
    kind, p = c["architectures"][0], prefix_of(c)
    isBert = c["model_type"] == "bert"
    x = hidden_states(c, w, tokens)
    if sentences:
        return {"hidden": x, "pooled": pooled(x, sentences)}
    if kind.endswith("Model"):
        return {"hidden": x, "pooled": torch.tanh(linear(w, f"{p}pooler.dense", x[:, 0]))}
    if kind.endswith("SequenceClassification"):
        row = torch.tanh(linear(w, f"{p}pooler.dense" if isBert else "classifier.dense", x[:, 0]))
        return {"logits": linear(w, "classifier" if isBert else "classifier.out_proj", row)}
    if isBert:
        y = normed(c, w, "cls.predictions.transform.LayerNorm", activation(c)(linear(w, "cls.predictions.transform.dense", x)))
    else:
        y = normed(c, w, "lm_head.layer_norm", F.gelu(linear(w, "lm_head.dense", x)))
    return {"logits": y @ w[f"{p}embeddings.word_embeddings.weight"].T + w["cls.predictions.bias" if isBert else "lm_head.bias"]}


def initial(key, shape, generator):
    """Scales of norms around 1, whatever they are called."""
    import account

    return account.initial(key.replace("beta", "bias"), shape, generator)
