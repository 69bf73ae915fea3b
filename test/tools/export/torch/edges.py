"""What exported folders compute at the edges, and what they refuse: of no tokens, of NaN, of lengths."""

import contextlib
import importlib
import sys
from fractions import Fraction
from pathlib import Path

import torch

SHARED = ("modc_caches", "modc_files", "modc_axes", "modc_entries", "modc_losses", "modc_pairs", "modc_recurrences", "modc_torch")
TRAINING = ("data", "training", "parallelize", "checkpoint", "pipeline", "settings", "texts", "records", "sources", "train")
FILES = (*SHARED, "model", *TRAINING)


def opened(folder):
    for name in FILES:
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    try:
        return {name: importlib.import_module(name) for name in FILES if (Path(folder) / f"{name}.py").exists()}
    finally:
        sys.path.remove(folder)


def answer(job):
    return globals()[job["what"]](job, **opened(job["folder"]))


def told(call, *faults):
    """What a call refuses, in its sentence."""
    try:
        call()
    except (ValueError, RuntimeError, *faults) as fault:
        return str(fault)
    return None


def no_number(job, **_):
    return float("nan")


def names(job, model, **_):
    given = {name: torch.rand(2, 3, 4) for name in job["inputs"]}
    result = model.M()(**given, live={"share": 0.25})
    first, *others = given.values()
    due = first * 0.25 * 0.25 + sum(first * 0.25 * other for other in others)
    return (result - due).abs().max().item()


def uneven(job, model, train, training, sources, **_):
    """What three sequences, one of them short, lose at once, and shared out among two ranks, whose shares are added up here."""
    moby = model.Moby()
    tokens = torch.arange(40)
    with (Path(job["output"] + ".bin")).open("wb") as file:
        file.write(bytes(tokens.tolist()))
    read = train.Tokens(job["output"] + ".bin", 1, None)

    settings = {"length": 8, "seed": 0, "validation": 0.25}
    windows = sources.TextData(read, settings).windows

    def shares(count):
        return [sources.TextData(read, settings, i, count).batch([0, 9, 35]) for i in range(count)]

    found = []
    for batches in (shares(1), shares(2)):
        found += [training.evaluate(moby, batches, causal) for causal in (False, True)]
    lengths = [batch["lengths"].tolist() for batch in shares(2)]
    return [found, lengths, [windows.validation(most) for most in (0, 1)]]


def empty_route(job, model, parallelize, **_):
    """Losses and the norms of a layer's gradients, with linear maps shared out among one device and with none, of a
    route that nobody takes."""
    found = []
    for tensor in (False, True):
        torch.manual_seed(0)
        moby = model.Moby().double().eval()
        for layer in moby.layers:
            if hasattr(layer, "guess"):
                torch.nn.init.constant_(layer.guess.down.bias, -1e4)
        if tensor:
            with alone():
                parallelize.apply_tp(moby, torch.distributed.init_device_mesh("cpu", (1,)))
                found.append(causal_loss(moby))
        else:
            found.append(causal_loss(moby))
    return found


@contextlib.contextmanager
def alone():
    """A group of one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def causal_loss(moby):
    tokens = torch.arange(16).reshape(2, 8)
    loss = moby(tokens, targets=tokens, causal=True)["next_token"]
    loss.backward()
    gate, down = (getattr(moby.layers[0].inner.mlp, name).weight.grad for name in ("gate", "down"))
    return [loss.item(), *(x.to_local().norm().item() if hasattr(x, "to_local") else x.norm().item() for x in (gate, down))]


def staged(job, model, pipeline, **_):
    moby = model.Moby()
    parts = pipeline.parts_of(moby)

    def bounds(stages, *points):
        return pipeline.bounds_of(moby, parts, stages, points)

    return [
        [bounds(1), bounds(2), bounds(3), bounds(8)],
        bounds(3, "layers.2", "layers.4"),
        told(lambda: bounds(9)),
        told(lambda: bounds(2, "embed")),
        told(lambda: bounds(2, "layers.6")),
        told(lambda: bounds(3, "layers.2")),
        told(lambda: bounds(3, "layers.4", "layers.2")),
        of_batches(pipeline),
    ]


def of_batches(pipeline):
    pipeline.OF_BATCH = ("layers.*.balance",)
    return told(lambda: pipeline.Pipeline(None, None, None, None, micro_batches=4))


def bounded(job, model, modc_torch, **_):
    mt, moby = modc_torch, model.Moby(model.MobyArgs(context=8))
    tokens = torch.zeros(2, 9, dtype=torch.int64)
    few, caches, padded = tokens[:, :5], mt.Caches(), mt.Caches()
    sentences = [
        told(lambda: moby(few, lengths=[1, 2])),
        told(lambda: moby(few, lengths=torch.ones(3, dtype=torch.int64))),
        told(lambda: moby(few, lengths=torch.tensor([5, 6]))),
        told(lambda: moby(few, lengths=torch.tensor([-1, 5]))),
        told(lambda: moby(few, lengths=torch.tensor([0, 5]))),
        told(lambda: moby(few, lengths=torch.tensor([0.5, 5]))),
        told(lambda: moby(tokens)),
        told(lambda: moby.step(few, {})),
        told(lambda: moby.step(few, None)),
        told(lambda: moby.step(few, caches)),
        told(lambda: moby.step(few, caches)),
        told(lambda: moby.step(tokens[:, :3], caches)),
    ]
    ones = torch.ones(2, dtype=torch.int64)
    sentences += [told(lambda: moby.step(few, padded, lengths=ones)) for _ in range(9)]
    return {"sentences": sentences, "lengths": [caches.lengths.tolist(), padded.lengths.tolist()]}


def targets(job, model, **_):
    """What is said of targets beyond the vocabulary and of negative ones: where they count, and stand in padding."""
    moby = model.Moby(model.MobyArgs(vocab=8)).train()
    tokens = torch.zeros(2, 5, dtype=torch.int64)
    beyond, negative = tokens.clone(), tokens.clone()
    beyond[1, 3], negative[1, 3] = 8, -1
    return [
        told(lambda: moby(tokens, targets=beyond)),
        told(lambda: moby(tokens, targets=negative)),
        told(lambda: moby(tokens, targets=beyond, lengths=torch.tensor([5, 3]))),
        told(lambda: moby(tokens, targets=negative, lengths=torch.tensor([5, 3]))),
    ]


def shares(job, model, modc_torch, **_):
    args = [model.MobyArgs(capacity=capacity) for capacity in (0.1, "1/3", 1, Fraction(1, 8))]
    result = model.Moby(args[0])(torch.zeros(1, 8, dtype=torch.int64))
    live = modc_torch.lively({"share": Fraction(1, 2)}, {"share": 0.1})
    return [*(str(a.capacity) for a in args), list(result.shape), str(live["share"])]
