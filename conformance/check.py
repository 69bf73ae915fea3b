"""Tries an implementation of conditional depth in PyTorch against the vectors of the suite.

    python3 check.py my_layer.py [--dtype float32] [--json]

`my_layer.py` has one or more of `train(case)`, `generate(case)` and `decode(case)`; README.md says what they are given
and what they return. Exit status: 0 all that was tried agrees, 4 something differs, 1 the file fails, 2 usage.
"""

import argparse
import importlib.util
import json
import sys
import traceback
from itertools import combinations
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import faults
from suite import Case, cases

LAWS: dict[str, str] = json.loads((Path(__file__).parent / "laws.json").read_text())
# Of the largest value: rounding in 64 bits, with room for sums in any order, and in 32 bits.
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", help="a Python file with train, generate or decode")
    parser.add_argument("--dtype", choices=TOLERANCES, default="float64")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    options = parser.parse_args()
    try:
        implementation = loaded(options.file)
    except Exception:  # whatever the file does
        traceback.print_exc()
        return 1
    functions = functions_of(implementation)
    if not functions:
        print(f"error: {options.file} has none of {', '.join(FUNCTIONS)}", file=sys.stderr)
        return 2
    findings, known = examined(implementation, options.dtype)
    if options.json:
        untried = [name for name in FUNCTIONS if name not in functions]
        print(json.dumps({"findings": findings, "faults": known, "untried": untried}, indent=2))
    else:
        told(findings, functions, known)
    return 0 if all(f["ok"] for f in findings) else 4


FUNCTIONS = ("train", "generate", "decode")


def functions_of(implementation) -> list[str]:
    return [name for name in FUNCTIONS if callable(getattr(implementation, name, None))]


def examined(implementation, dtype: str = "float64") -> tuple[list[dict], list[tuple[str, ...]]]:
    """What was found for each case and function, and the known faults that explain all of it: one alone, or two
    together."""
    functions, tolerance = functions_of(implementation), TOLERANCES[dtype]
    tried = [(c, name) for c in cases(getattr(torch, dtype)) for name in functions if name in c.functions]
    answers = [answered(case, getattr(implementation, name)) for case, name in tried]
    findings = [finding(case, name, answer, tolerance) for (case, name), answer in zip(tried, answers)]
    if all(f["ok"] for f in findings):
        return findings, []
    for many in (1, 2):
        known = [some for some in combinations(faults.FAULTS, many) if explains(some, tried, answers, tolerance)]
        if known:
            return findings, known
    return findings, []


def loaded(path: str):
    spec = importlib.util.spec_from_file_location("implementation", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finding(case: Case, name: str, answer: dict | str, tolerance: float) -> dict:
    """What one function gave for one case: whether it agrees, else in what it differs."""
    base = {"case": case.name, "function": name, "laws": list(case.laws)}
    if isinstance(answer, str):
        return {**base, "ok": False, "error": answer}
    differs = [key for key, x in answer.items() if not close(x, case.expected[key], tolerance)]
    return {**base, "ok": not differs, "compared": sorted(answer), "differs": differs}


def answered(case: Case, function) -> dict | str:
    """What a function answers, or what went wrong."""
    try:
        return answer_of(case, function)
    except Exception as error:  # whatever the implementation throws
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}"


def answer_of(case: Case, function) -> dict:
    """The answer by the names of `case.expected`, and gradients of its loss."""
    given = function(case)
    if torch.is_tensor(given):
        given = {"y": given}
    unknown = set(given) - {"y", "chosen", "predictor_loss", "cached"}
    if unknown:
        raise KeyError(f"{sorted(unknown)}: an answer has y, and may have chosen, predictor_loss and cached")
    y = given["y"]
    if tuple(y.shape) != tuple(case.expected["y"].shape):
        raise ValueError(f"y has the shape {tuple(y.shape)} and not {tuple(case.expected['y'].shape)}")
    answer = {"y": case.existing(y)}
    if given.get("chosen") is not None:
        answer["chosen"] = case.indices(given["chosen"])
    if given.get("cached") is not None:
        answer["cached"] = torch.as_tensor(given["cached"])
    if "loss" not in case.expected:
        return {key: x.detach() if x.is_floating_point() else x for key, x in answer.items()}
    loss = case.mean(y * case.probe)
    answer["loss"] = loss
    if given.get("predictor_loss") is not None:
        answer["predictor_loss"] = given["predictor_loss"]
        loss = loss + 0.01 * given["predictor_loss"]
    if loss.requires_grad:
        names = [n for n in case.weights if given.get("predictor_loss") is not None or not n.startswith("predictor.")]
        found = torch.autograd.grad(loss, [case.weights[n] for n in names], allow_unused=True, materialize_grads=True)
        answer |= {f"gradients.{n}": g for n, g in zip(names, found)}
    return {key: x.detach() for key, x in answer.items()}


def close(x: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    if x.shape != expected.shape:
        return False
    if not expected.is_floating_point():
        return bool((x == expected).all())
    largest = max(1e-3, float(expected.nan_to_num().abs().max())) if expected.numel() else 1.0
    return torch.allclose(x.double(), expected.double(), rtol=0, atol=tolerance * largest, equal_nan=True)


def explains(some: tuple[str, ...], tried: list, answers: list, tolerance: float) -> bool:
    """Whether a layer with these faults answers all that was tried as the implementation did."""
    return all(same(case, answer, answered(case, faults.Layer(*some).function(name)), tolerance)
               for (case, name), answer in zip(tried, answers) if isinstance(answer, dict))


def same(case: Case, answer: dict, other: dict, tolerance: float) -> bool:
    # What one of them gives and the other does not tells nothing.
    return all(close(answer[key], other[key], tolerance) for key in answer if key in other)


def told(findings: list[dict], functions: list[str], known: list[tuple[str, ...]]) -> None:
    for f in findings:
        head = f"{f['case']}, {f['function']}"
        if f["ok"]:
            print(f"ok       {head}: {compared(f['compared'])}")
        elif "error" in f:
            print(f"failed   {head}: {f['error']}")
        else:
            print(f"differs  {head}: {compared(f['differs'])}")
    bad = [f for f in findings if not f["ok"]]
    for name in FUNCTIONS:
        if name not in functions:
            print(f"untried  {name}: the file has no such function")
    if not bad:
        print(f"{len(findings)} of {len(findings)} agree")
        return
    laws = sorted({law for f in bad for law in f["laws"]})
    print(f"{len(findings) - len(bad)} of {len(findings)} agree; the others try these laws:")
    for law in laws:
        print(f"  {law}. {LAWS[str(law)]}")
    for i, some in enumerate(known):
        if i > 0:
            print("or")
        for fault in some:
            print(f"fault: {fault}: {faults.FAULTS[fault]}")
    if not known:
        print("fault: none of those that the suite knows, nor two of them together")


def compared(names: list[str]) -> str:
    gradients = [n.removeprefix("gradients.") for n in names if n.startswith("gradients.")]
    rest = [n for n in names if not n.startswith("gradients.")]
    if len(gradients) > 3:
        return ", ".join([*rest, f"{len(gradients)} gradients"])
    return ", ".join([*rest, *(f"gradient of {g}" for g in gradients)])


if __name__ == "__main__":
    sys.exit(main())
