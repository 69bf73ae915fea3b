"""What the conformance suite finds: of a plain layer with a fault or none, or of folders that modc exported."""

import sys
from pathlib import Path

SUITE = str(Path(__file__).parent.parent.parent / "conformance")
sys.path.insert(0, SUITE)
import check
import faults
import torch


def answer(job):
    implementation = Exported(job["folders"]) if "folders" in job else faults.Layer(*job["faults"])
    findings, known = check.examined(implementation)
    return {"findings": findings, "faults": known}


class Exported:
    """Modules of `modc export`, one for each capacity and gate, as an implementation."""

    def __init__(self, folders):
        self.folders = folders

    def train(self, case):
        observed = {}
        y = self.called(case, observed, training=False)
        losses = self.called(case, {}, training=True)
        return {"y": y, "chosen": chosen(observed), "predictor_loss": losses["layer.predictor"] / 0.01}

    def generate(self, case):
        observed = {}
        y = self.called(case, observed, training=False, causal=True)
        return {"y": y, "chosen": chosen(observed)}

    def called(self, case, observed, training, causal=False):
        module = opened(self.folders[f"{case.capacity} {case.gate}"]).double().train(training)
        named = {
            ("layer." + k.replace("router", "router.weight").replace("predictor.", "guess.") if k != "shift" else k): t
            for k, t in case.weights.items()
        }
        named["layer.router.weight"] = named["layer.router.weight"][None]
        given = {"x": case.given, **({"probe": case.probe} if training else {})}
        how = {"lengths": case.lengths, "causal": causal, "observed": observed}
        return torch.func.functional_call(module, named, (), {**given, **how})


def opened(folder):
    for name in ("model", "modc_torch"):
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    try:
        import model
    finally:
        sys.path.remove(folder)
    return model.load(folder)


def chosen(observed):
    (route,) = observed.values()
    if route.axis.valid is None:
        return route.index
    return route.index.masked_fill(~route.axis.valid, -1)
