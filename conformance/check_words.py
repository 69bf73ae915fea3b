"""Tries implementations of words (attention with pairs of tokens, recurrences, given axes) against their vectors.

    python3 check_words.py my_words.py [--dtype float32] [--json]

`my_words.py` has functions by the names of words, such as `scan`; README.md lists their arguments. Words that the file
lacks are not tried. Exit status: 0 all that was tried agrees, 4 something differs, 1 the file fails, 2 usage.
"""

import argparse
import importlib.util
import json
import sys
import traceback
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from suite import read

VECTORS = Path(__file__).parent / "words" / "vectors"
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
# Tensors of truths, which the files have as 0 and 1.
TRUTHS = ("mask", "fresh", "chosen")
# What a mass of nothing is below.
NOTHING = -1e29


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", help="a Python file with functions by the names of words")
    parser.add_argument("--dtype", choices=TOLERANCES, default="float64")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    options = parser.parse_args()
    try:
        spec = importlib.util.spec_from_file_location("words_under_test", options.file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception:  # whatever the file does
        print(f"error: {options.file} cannot be imported:\n{traceback.format_exc(limit=-1)}", file=sys.stderr)
        return 1
    findings = examined(module, options.dtype)
    if not findings:
        print(f"error: {options.file} has no function by the name of a word", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(findings, indent=2))
    else:
        for found in findings:
            faults = "; ".join(found["faults"])
            print(f"{'ok     ' if found['ok'] else 'differs'} {found['case']} ({found['word']}){faults and ': ' + faults}")
    return 0 if all(found["ok"] for found in findings) else 4


def examined(module, dtype: str = "float64") -> list[dict]:
    """What was found of each case whose word the module has."""
    said = json.loads((VECTORS / "words.json").read_text())
    return [tried(module, case, dtype) for case in said if hasattr(module, case["word"])]


def tried(module, case: dict, dtype: str) -> dict:
    try:
        faults = differences(module, case, getattr(torch, dtype), TOLERANCES[dtype])
    except Exception as error:  # whatever the function does
        faults = [f"{type(error).__name__}: {error}"]
    return {"case": case["name"], "word": case["word"], "ok": not faults, "faults": faults}


def differences(module, case: dict, dtype: torch.dtype, tolerance: float) -> list[str]:
    vectors = read(VECTORS / f"{case['name']}.safetensors")
    given, scales = {}, {}
    for name in case["args"]:
        tensor = vectors[name].bool() if name in TRUTHS else vectors[name]
        if tensor.is_floating_point():
            tensor = tensor.to(dtype)
        if name in case["scaled"]:
            dim = case["scaled"][name]
            scales[name] = vectors[f"scales.{name}"].to(dtype).requires_grad_()
            tensor = tensor * scales[name].reshape(-1, *[1] * (tensor.dim() - 1 - dim))
        given[name] = tensor
    for axis, argument in (("T", "lengths"), ("S", "key_lengths")):
        if axis in (case["lengths"] or {}):
            given[argument] = torch.tensor(case["lengths"][axis])
    y = getattr(module, case["word"])(**given, **case["options"])
    wanted = vectors["y"]
    if list(y.shape) != list(wanted.shape):
        return [f"y is {list(y.shape)}, not {list(wanted.shape)}"]
    exists = valid(wanted, case)
    y = torch.where(exists, y, 0.0)
    faults = unlike("y", y.detach(), wanted, tolerance)
    loss = (y * vectors["probe"].to(dtype)).sum()
    gradients = torch.autograd.grad(loss, list(scales.values()), allow_unused=True) if loss.requires_grad else []
    for (name, scale), found in zip(scales.items(), gradients):
        own = torch.zeros_like(scale) if found is None else found
        faults += unlike(f"the gradient of {name}", own, vectors[f"gradients.{name}"], tolerance)
    return faults


def valid(y, case: dict):
    """Which values of a result exist: rows of tokens before the ends of sequences."""
    lengths = (case["lengths"] or {}).get("T")
    if lengths is None:
        return torch.ones_like(y, dtype=torch.bool)
    heads = case["word"] in ("attention", "mass", "linear_attention", "rope")
    dim = 2 if heads else 1
    exists = torch.arange(y.shape[dim]) < torch.tensor(lengths)[:, None]
    return exists.reshape(len(y), *[1] * (dim - 1), -1, *[1] * (y.dim() - dim - 1)).expand(y.shape)


def unlike(what: str, found, wanted, tolerance: float) -> list[str]:
    nothing = wanted < NOTHING
    if not torch.equal(found.double() < NOTHING, nothing):
        return [f"{what} is -1e30 at other places"]
    found, wanted = found.double().masked_fill(nothing, 0), wanted.double().masked_fill(nothing, 0)
    largest = max(1.0, float(wanted.abs().max()))
    worst = float((found - wanted).abs().max())
    return [] if worst <= tolerance * largest else [f"{what} differs by {worst:.3g}, of {largest:.3g}"]


if __name__ == "__main__":
    sys.exit(main())
