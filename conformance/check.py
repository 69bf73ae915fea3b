"""Tries an implementation of conditional depth in PyTorch against the vectors of the suite.

    python3 check.py my_layer.py [--dtype float32] [--json]

`my_layer.py` has one or more of `train(case)`, `generate(case)` and `decode(case)`; README.md says what they are given
and what they return. Exit status: 0 all that was tried agrees, 4 something differs, 1 the file fails, 2 usage.
"""

import argparse
import importlib.util
import json
import math
import os
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
    except Exception as error:  # whatever the file does
        print(f"error: {options.file} cannot be imported: {place_of(error, options.file)}", file=sys.stderr)
        return 1
    functions = functions_of(implementation)
    if not functions:
        print(f"error: {options.file} has none of {', '.join(FUNCTIONS)}", file=sys.stderr)
        return 2
    findings, known = examined(implementation, options.dtype, options.file)
    try:
        if options.json:
            untried = [name for name in FUNCTIONS if name not in functions]
            print(json.dumps({"findings": findings, "faults": known, "untried": untried}, indent=2))
        else:
            told(findings, functions, known)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if all(f["ok"] for f in findings) else 4


FUNCTIONS = ("train", "generate", "decode")


def functions_of(implementation) -> list[str]:
    return [name for name in FUNCTIONS if callable(getattr(implementation, name, None))]


def examined(implementation, dtype: str = "float64", file: str = "") -> tuple[list[dict], list[tuple[str, ...]]]:
    """What was found for each case and function, and the known faults that explain all of it: one alone, or two
    together. Nothing is explained where the implementation failed."""
    functions, tolerance = functions_of(implementation), TOLERANCES[dtype]
    tried = [(c, name) for c in cases(getattr(torch, dtype)) for name in functions if name in c.functions]
    answers = [answered(case, getattr(implementation, name), file) for case, name in tried]
    findings = [finding(case, name, answer, tolerance) for (case, name), answer in zip(tried, answers)]
    if all(f["ok"] for f in findings) or any("error" in f for f in findings):
        return findings, []
    known = explanations(tried, answers, tolerance)
    if not known:  # then of each case by itself
        for one, answer, f in zip(tried, answers, findings):
            if not f["ok"]:
                f["like"] = explanations([one], [answer], tolerance)
    return findings, known


def explanations(tried: list, answers: list[dict], tolerance: float) -> list[tuple[str, ...]]:
    """The faults that explain all of this: each alone that does, else pairs."""
    for many in (1, 2):
        known = [some for some in combinations(faults.FAULTS, many) if explains(some, tried, answers, tolerance)]
        if known:
            return known
    return []


def loaded(path: str):
    spec = importlib.util.spec_from_file_location("implementation", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(Path(path).resolve().parent))  # of what it imports itself
    spec.loader.exec_module(module)
    return module


def place_of(error: Exception, file: str) -> str:
    """An error in a line, with its place in the file that was given, if it passed there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if file and Path(f.filename).resolve() == Path(file).resolve()] or list(frames)
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{where}: {error}"


def finding(case: Case, name: str, answer: dict | str, tolerance: float) -> dict:
    """What one function gave for one case: whether it agrees, else in what it differs."""
    base = {"case": case.name, "function": name, "laws": list(case.laws)}
    if isinstance(answer, str):
        return {**base, "ok": False, "error": answer}
    differs = [key for key, x in answer.items() if not close(x, case.expected[key], tolerance)]
    found = {**base, "ok": not differs, "compared": sorted(answer), "differs": differs}
    shown = [difference(key, answer[key], case.expected[key]) for key in ("chosen", "cached", "y") if key in differs]
    return {**found, "shown": shown[:1]} if shown else found


def difference(key: str, x: torch.Tensor, expected: torch.Tensor) -> str:
    """Where an answer differs first."""
    if key == "y":
        wrong = (x.double() - expected.double()).nan_to_num(math.inf).abs().amax(-1)
        b, t = divmod(int(wrong.argmax()), wrong.shape[1])
        tokens = int((wrong > 1e-6).sum())
        return f"y of {tokens} tokens, most of sequence {b}, token {t}: by {float(wrong[b, t]):.3g}"
    if key == "cached":
        return f"cached {x.tolist()}, expected {expected.tolist()}"
    width = max(x.shape[1], expected.shape[1])
    rows = [[[i for i in row if i >= 0] for row in part.tolist()] for part in (x, expected)]
    b = next((b for b, (own, right) in enumerate(zip(*rows)) if own != right), 0)
    return f"of sequence {b} tokens {rows[0][b]} are chosen, expected {rows[1][b]}" if width else "no token is chosen"


def answered(case: Case, function, file: str = "") -> dict | str:
    """What a function answers, or what went wrong."""
    try:
        return answer_of(case, function)
    except Exception as error:  # whatever the implementation throws
        return place_of(error, file)


def answer_of(case: Case, function) -> dict:
    """The answer by the names of `case.expected`, and gradients of its loss."""
    given = function(case)
    if torch.is_tensor(given):
        given = {"y": given}
    if not isinstance(given, dict) or not torch.is_tensor(given.get("y")):
        raise TypeError("an answer is y as a tensor, or a dict with y")
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


def explains(some: tuple[str, ...], tried: list, answers: list[dict], tolerance: float) -> bool:
    """Whether a layer with these faults answers all that was tried as the implementation did."""
    for (case, name), answer in zip(tried, answers):
        function = faults.Layer(*some).function(name)
        with torch.no_grad():  # most are ruled out by y, which takes a tenth of the time of gradients
            y = case.existing(function(case)["y"])
        if not close(y, answer["y"], tolerance) or not same(answer, answer_of(case, function), tolerance):
            return False
    return True


def same(answer: dict, other: dict, tolerance: float) -> bool:
    # What one of them gives and the other does not tells nothing.
    return all(close(answer[key], other[key], tolerance) for key in answer if key in other)


def told(findings: list[dict], functions: list[str], known: list[tuple[str, ...]]) -> None:
    failed: dict[str, list[str]] = {}
    for f in findings:
        head = f"{f['case']}, {f['function']}"
        if f["ok"]:
            print(f"ok       {head}: {compared(f['compared'])}")
        elif "error" in f:
            failed.setdefault(f["error"], []).append(head)
        else:
            like = f"; as {' or '.join(' with '.join(some) for some in f['like'][:3])} would" if f.get("like") else ""
            shown = f" ({f['shown'][0]})" if "shown" in f else ""
            print(f"differs  {head}: {compared(f['differs'])}{shown}{like}")
    for error, heads in failed.items():
        more = f" and {len(heads) - 1} more" if len(heads) > 1 else ""
        print(f"failed   {heads[0]}{more}: {error}")
    bad = [f for f in findings if not f["ok"]]
    for name in FUNCTIONS:
        if name not in functions:
            print(f"untried  {name}: the file has no such function")
    if not bad:
        print(f"{len(findings)} of {len(findings)} agree")
        return
    if failed:
        print(f"{len(findings) - len(bad)} of {len(findings)} agree; what fails is not explained")
        return
    laws = sorted({law for f in bad for law in laws_of(f)})
    print(f"{len(findings) - len(bad)} of {len(findings)} agree; the others try these laws:")
    for law in laws:
        print(f"  {law}. {LAWS[str(law)]}")
    for i, some in enumerate(known):
        if i > 0:
            print("or")
        for fault in some:
            print(f"fault: {fault}: {faults.FAULTS[fault]}")
    if not known:
        print("fault: none of those that the suite knows, nor two of them together, explains all cases")


def laws_of(finding: dict) -> list[int]:
    """The laws that a finding may have broken: where y is right, those of gradients; where it is not, the others."""
    right = "y" not in finding["differs"]
    return [law for law in finding["laws"] if (law == GRADIENTS) == right] or finding["laws"]


GRADIENTS = 10


def compared(names: list[str]) -> str:
    gradients = [n.removeprefix("gradients.") for n in names if n.startswith("gradients.")]
    rest = [n for n in names if not n.startswith("gradients.")]
    if len(gradients) > 3:
        return ", ".join([*rest, f"{len(gradients)} gradients"])
    return ", ".join([*rest, *(f"gradient of {g}" for g in gradients)])


if __name__ == "__main__":
    sys.exit(main())
