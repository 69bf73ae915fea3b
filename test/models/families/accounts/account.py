"""Writes small folders of a family as transformers does, and says what their models compute, in 64-bit floats.

A family's module has `shapes(config)`, the shape of each stored tensor by its key, and `logits(config, weights, tokens)`,
written from the model's published code and not from modc. `families.json` beside it has the configurations.
"""

import importlib
import json
import math
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))


def initial(key, shape, generator):
    """Matrices of deviation 1.5 / sqrt(columns), vectors around 1, and around 0 for biases."""
    values = torch.randn(shape, generator=generator, dtype=torch.float32)
    if len(shape) < 2:
        return (0.0 if key.endswith("bias") else 1.0) + 0.3 * values
    return values * (1.5 / math.sqrt(shape[-1]))


def write_safetensors(path, tensors):
    header, data = {}, []
    offset = 0
    for key, value in tensors.items():
        raw = value.contiguous().to(torch.float32).numpy().tobytes()
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


MODELS = {}


def write(job):
    """Writes the folder; keeps its weights for later questions."""
    module = importlib.import_module(job["module"])
    config = job["config"]
    generator = torch.Generator().manual_seed(job["seed"])
    own = getattr(module, "initial", initial)
    weights = {key: own(key, shape, generator) for key, shape in module.shapes(config).items()}
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_safetensors(folder / "model.safetensors", weights)
    MODELS[job["folder"]] = (module, config, {key: value.double() for key, value in weights.items()})


def greedy(module, config, weights, prompt, text):
    """The best token after the prompt and each start of the text, and its lead over the second best."""
    best = module.logits(config, weights, torch.tensor([prompt + text]))[0, len(prompt) - 1 : -1].topk(2)
    return {"tokens": best.indices[:, 0].tolist(), "ahead": (best.values[:, 0] - best.values[:, 1]).tolist()}


def answer(job):
    """Writes the folder, and the folder of the gradients of the mean cross-entropy under the weights' keys; replies with
    logits and loss. With prompts: their greedy continuations."""
    if job["folder"] not in MODELS:
        write(job)
    module, config, weights = MODELS[job["folder"]]
    if "prompts" in job:
        with torch.no_grad():
            return [greedy(module, config, weights, prompt, text) for prompt, text in zip(job["prompts"], job["texts"])]
    leaves = {key: value.clone().requires_grad_() for key, value in weights.items()}
    logits = module.logits(config, leaves, torch.tensor(job["tokens"]))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.tensor(job["targets"]).flatten())
    loss.backward()
    folder = Path(job["gradients"])
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", {key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()})
    return {"logits": logits.detach().flatten().tolist(), "loss": loss.item()}
