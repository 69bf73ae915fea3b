"""What exported folders of Hugging Face compute, by transformers where there are any, else by the stand-in here."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import torch

REAL = importlib.util.find_spec("transformers") is not None
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def auto():
    """transformers; the stand-in is taken away again, so that nothing else in the process finds it."""
    if REAL:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM
    sys.path.insert(0, str(Path(__file__).parent))
    return __import__("transformers").AutoModelForCausalLM


def forget():
    if not REAL:
        sys.path.remove(str(Path(__file__).parent))
        for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
            del sys.modules[name]


def answer(job):
    loads = auto()
    try:
        model = loads.from_pretrained(job["folder"], trust_remote_code=True).double()
        return {
            "real": REAL,
            "keys": sorted(model.state_dict()),
            "facts": {name: getattr(model.config, name) for name in job["facts"]},
            "calls": [called(model, call) for call in job["calls"]],
            "texts": [generated(model, text) for text in job["texts"]],
            "refused": [refused(model, call) for call in job["refused"]],
            "again": saved(loads, model, job["texts"][0]) if REAL and job["texts"] else None,
        }
    finally:
        forget()


def tensors(given):
    return {name: torch.tensor(value) if isinstance(value, list) else value for name, value in given.items()}


def called(model, call):
    model.train(call["training"])
    model.zero_grad()
    output = model(**tensors(call["inputs"]))
    gradients = {}
    if call["training"]:
        output.loss.backward()
        gradients = {
            key: (torch.zeros_like(p) if p.grad is None else p.grad).flatten().tolist()
            for key, p in model.named_parameters()
        }
    model.eval()
    return {
        "logits": output.logits.flatten().tolist(),
        "loss": None if output.loss is None else output.loss.item(),
        "losses": None if output.losses is None else {name: loss.item() for name, loss in output.losses.items()},
        "cached": None if output.past_key_values is None else output.past_key_values.kept.counts,
        "gradients": gradients,
    }


def generated(model, text):
    return model.generate(**tensors(text), do_sample=False, pad_token_id=0).tolist()


def refused(model, call):
    try:
        if "method" in call:
            getattr(model, call["method"])()
        given = tensors(call["inputs"])
        if call.get("before"):
            given["past_key_values"] = model(**tensors(call["before"]), use_cache=True).past_key_values
        model.generate(**given, do_sample=False, pad_token_id=0) if call["generate"] else model(**given)
    except (TypeError, ValueError, NotImplementedError) as error:
        return str(error)
    return None


def saved(loads, model, text):
    """The same text by the model as it is saved and opened again."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = loads.from_pretrained(folder, trust_remote_code=True).double()
        return generated(again, text)
