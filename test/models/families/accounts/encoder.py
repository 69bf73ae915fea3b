"""Asks the account of an encoder, or of another model with a head, for its results. Each text is computed alone, without
padding. A family's module has `shapes(config)` and `results(config, weights, tokens, sentences)`: named tensors [1, ...].
"""

import importlib
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))
import account


def loss_of(config, results, labels):
    """transformers' losses of sequence classification, and of masked language models."""
    logits = results["logits"]
    kind = config.get("problem_type")
    if logits.dim() == 3:
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    if logits.shape[1] == 1 or kind == "regression":
        return F.mse_loss(logits, labels.double())
    if kind == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.double())
    return F.cross_entropy(logits, labels)


def answer(job):
    """
    Writes the folder and, with labels, that of the gradients of the loss over whole texts. Replies with the results of
    the whole texts and of the beginnings with these lengths, and with the loss.
    """
    account.write(job)
    module, config, weights = account.MODELS[job["folder"]]
    tokens, sentences = torch.tensor(job["tokens"]), job.get("sentences")
    compute = lambda w, ids: module.results(config, w, ids, sentences)
    with torch.no_grad():
        parts = [compute(weights, row[None, :length]) for row, length in zip(tokens, job["lengths"])]
    reply = {"parts": [{name: value.flatten().tolist() for name, value in part.items()} for part in parts]}
    leaves = {key: value.clone().requires_grad_() for key, value in weights.items()}
    whole = compute(leaves, tokens)
    reply["whole"] = {name: value.detach().flatten().tolist() for name, value in whole.items()}
    if job["labels"] is None:
        return reply
    loss = loss_of(config, whole, torch.tensor(job["labels"]))
    loss.backward()
    folder = Path(job["gradients"])
    folder.mkdir(parents=True, exist_ok=True)
    account.write_safetensors(folder / "model.safetensors", {key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()})
    return reply | {"loss": loss.item()}


def pooled(x, sentences):
    """The embedding that sentence-transformers makes of rows [B, T, dim]."""
    row = {"first": x[:, 0], "last": x[:, -1], "mean": x.mean(1)}[sentences["pooling"]]
    return F.normalize(row, dim=-1) if sentences["unit"] else row
