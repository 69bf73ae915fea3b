"""What exported folders compute at the edges, and what they refuse: of no tokens, of NaN, of settings, of lengths."""

import contextlib
import importlib
import io
import json
import sys
import types
from fractions import Fraction
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

SHARED = ("modc_caches", "modc_files", "modc_axes", "modc_entries", "modc_losses", "modc_torch")
FILES = (*SHARED, "model", "data", "training", "parallelize", "checkpoint", "pipeline", "settings", "train")


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


def nothing(job, modc_torch, **_):
    mt, x = modc_torch, torch.ones(2, 0, 3, requires_grad=True)
    results = []
    for valid in (None, torch.ones(2, 0, dtype=torch.bool)):
        axis = mt.Axis(torch.zeros(2, 0, dtype=torch.int64), valid)
        results += [f(x, axis) for f in (mt.sum, mt.mean, mt.var, mt.max, mt.min)]
        results += [mt.max(x, axis, keepdim=True, dims=(1, 2)), mt.token(x, axis, 0), mt.token(x, axis, -1)]
        results += [mt.count(mt.Route(axis.positions, axis))]
        keys = mt.Axis(torch.zeros(2, 0, dtype=torch.int64), valid)
        whole = mt.rows(torch.ones(2, 3), None)
        k = torch.ones(2, 1, 0, 4)
        for weights in (None, torch.ones(2, 0)):
            results += [mt.attention(torch.ones(2, 1, 3, 4), k, k, whole, keys, weights=weights)]
    return [[list(y.shape), y.abs().sum().item()] for y in results]


def best(job, modc_torch, **_):
    mt, score = modc_torch, torch.tensor([[float(x) for x in row] for row in job["scores"]])
    axis = mt.rows(score, None)
    exists = torch.ones_like(axis.positions, dtype=torch.bool)
    padded = exists.clone()
    padded[:, 1:] = False
    axes = (axis, axis._replace(valid=exists), axis._replace(valid=padded))
    return [mt.top(score, a, lambda n: 1).index.tolist() for a in axes]


def settings(job, train, **_):
    output = Path(job["output"])
    begun = train.settled({}, None)
    at = output / "checkpoints" / "step-00000001"
    at.mkdir(parents=True)
    kept = {"format": train.checkpoint.FORMAT, "model": train.checkpoint.MODEL, "step": 1, "epoch": 0, "window": 0}
    (at / "run.json").write_text(json.dumps(kept | {"settings": begun}))
    answers = []
    for words in job["words"]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            folder = output if "--resume" in words else output / "new"
            status = train.main(["--data", "none", "--output", str(folder), *words])
        answers.append([status, said.getvalue().strip()])
    return answers


def parts(job, train, settings, **_):
    """What is said of other parts of a batch than a run was begun with, where a loss is of each."""
    settings.OF_BATCH = ("balance",)
    answers = []
    for begun, words in job["cases"]:
        output = Path(job["output"]) / str(len(answers))
        at = output / "checkpoints" / "step-00000001"
        at.mkdir(parents=True)
        kept = {"format": train.checkpoint.FORMAT, "model": train.checkpoint.MODEL, "step": 1, "epoch": 0, "window": 0}
        own = train.settled({}, None) | ({"parts": begun} if begun else {})
        (at / "run.json").write_text(json.dumps(kept | {"settings": own}))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            train.main(["--output", str(output), "--resume", *words])
        answers.append(said.getvalue().strip())
    return answers


def uneven(job, model, train, training, **_):
    """What three sequences, one of them short, lose at once, and shared out among two ranks, whose shares are added up here."""
    moby = model.Moby()
    tokens = torch.arange(40)
    with (Path(job["output"] + ".bin")).open("wb") as file:
        file.write(bytes(tokens.tolist()))
    read = train.Tokens(job["output"] + ".bin", 1, None)

    windows = train.Windows(len(read), 8, 0, 0.25)

    def shares(count):
        given = {"shares": count, "tokens": read, "settings": {"length": 8}, "device": "cpu", "windows": windows}
        return [train.Run.batch(types.SimpleNamespace(**given, share=i), [0, 9, 35]) for i in range(count)]

    found = []
    for batches in (shares(1), shares(2)):
        found += [training.evaluate(moby, batches, causal) for causal in (False, True)]
    lengths = [batch["lengths"].tolist() for batch in shares(2)]
    return [found, lengths, [windows.validation(most) for most in (0, 1)]]


def other_data(job, train, **_):
    """What is said of data that a run goes on with."""
    output = Path(job["output"])
    output.mkdir()
    texts = {"begun": b"some text" * 400_000, "moved": b"some text" * 400_000, "other": b"some next" * 400_000}
    for name, text in texts.items():
        (output / name).write_bytes(text)
    before = train.Tokens(output / "begun", None, 7).described
    answers = []
    for words in job["words"]:
        given = ["--data", str(output / words[0]), *words[1:]] if words else []
        options = train.parser("").parse_args(["--output", "none", *given])
        said = told(lambda: answers.append(train.tokens_of(options, before).path.name))
        answers += [] if said is None else [said.removeprefix(str(output) + "/")]
    return answers


def other_model(job, model, training, checkpoint, **_):
    """What is said of a run that goes on with the model, with others, and with one of other sizes."""
    at = Path(job["output"]) / "step"
    made = model.Moby()
    optimizer = training.make_optimizer(made, 1e-3, 0.1, (0.9, 0.95), 1e-8)
    tensors = checkpoint.tensors_of(made, optimizer)
    ours = {"format": checkpoint.FORMAT, "model": "Moby", "step": 1, "epoch": 0, "window": 0, "settings": {}}
    parameters = {"vocab": "256", "dim": "32", "heads": "2", "depth": "2", "context": "256", "capacity": "12.5%"}
    others = ({}, {"parameters": parameters}, {"parameters": parameters | {"heads": "4", "capacity": "50%"}})
    answers = []
    for more in (*others, {"model": "Other"}, {}):
        if len(answers) == 4:
            tensors["embed.table"] = torch.zeros(256, 64)
        dcp.save(tensors, checkpoint_id=at)
        (at / "run.json").write_text(json.dumps(ours | more))
        said = told(lambda: checkpoint.load(at, made, optimizer), checkpoint.CheckpointError)
        answers.append(said and said.replace(f"{at.parent}/", ""))
    return answers


def crossing(job, model, train, checkpoint, modc_files, **_):
    """What is said of runs that go over from modc, of the data that they go on with, and of those that come back."""
    output = Path(job["output"])
    at, run, there, alone = output / "modc" / "checkpoints" / "step-00000002", *(output / n for n in ("modc", "there", "alone"))
    (run / ".cache").mkdir(parents=True)
    at.mkdir(parents=True)
    for path, text in ((run / ".cache" / f"tokens-{'a' * 32}.bin", "text"), (output / "text", "text"), (output / "other", "next")):
        path.write_text(text * 100)
    weights = model.Moby().float().state_dict()
    moments = {f"optimizer.{moment}.{name}": values for moment in "mv" for name, values in weights.items()}
    stored = modc_files.keyed(weights, modc_files.keys_of(job["folder"]))
    modc_files.write_safetensors(at / "model.safetensors", stored)
    modc_files.write_safetensors(at / "state.safetensors", moments)
    names = {**checkpoint.SETTINGS, **checkpoint.MAY_CHANGE}
    begun = train.settled({}, None)
    settings = {theirs: begun[ours] for theirs, ours in names.items()}
    whole = {"step": 2, "model": "Moby", "settings": settings, "sources": [], "parameters": checkpoint.PARAMETERS}
    whole["data"] = {"digest": "a" * 64, "position": {"epoch": 0, "window": 3}}

    def said(call, **changed):
        (at / "manifest.json").write_text(json.dumps(whole | changed))
        fault = told(call, checkpoint.CheckpointError)
        return fault and fault.replace(f"{output}/", "")

    def taken(folder, step):
        """As if train.py had gone on."""
        before = checkpoint.checkpoints(folder)[-1]
        now = json.loads((before / "run.json").read_text()) | {"step": step}
        (before / "run.json").write_text(json.dumps(now))
        before.rename(before.with_name(f"step-{step:08}"))

    heads = {"parameters": checkpoint.PARAMETERS | {"heads": "4"}}
    checkpoint.from_modc(run, alone) if said(lambda: None) is None else None
    kept = checkpoint.checkpoints(alone)[-1] / "run.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"begun": None}))
    came = [
        said(lambda: checkpoint.from_modc(run, there), **heads),
        said(lambda: checkpoint.from_modc(run, there), settings=settings | {"only": "router,guess"}),
        said(lambda: checkpoint.from_modc(run, alone)),
        said(lambda: checkpoint.from_modc(run, there)),
        said(lambda: checkpoint.from_modc(run, there)),
    ]
    before = checkpoint.progress_of(checkpoint.checkpoints(there)[-1]).data
    options = [train.parser("").parse_args(["--output", "none", "--data", str(output / n)]) for n in ("text", "other")]
    data = [said(lambda: train.tokens_of(o, before)) for o in options]
    taken(there, 5)
    taken(alone, 5)
    came.append(said(lambda: checkpoint.from_modc(run, there)))
    other = {"data": whole["data"] | {"digest": "b" * 64}}
    back = [
        said(lambda: checkpoint.to_modc(alone, run)),
        said(lambda: checkpoint.to_modc(there, run), **heads),
        said(lambda: checkpoint.to_modc(there, run), **other),
    ]
    (run / ".cache" / f"tokens-{'a' * 32}.bin").write_text("none" * 100)
    back.append(said(lambda: checkpoint.to_modc(there, run)))
    (run / ".cache" / f"tokens-{'a' * 32}.bin").write_text("text" * 100)
    back.append(said(lambda: checkpoint.to_modc(there, run)))
    return {"from": came, "data": data, "to": back, "status": [status(checkpoint, *w) for w in (["-h"], [], ["weights"])]}


def status(script, *words):
    """With which a script ends that its options end."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return script.main(list(words))
        except SystemExit as ended:
            return ended.code


class Watching(torch.nn.Module):
    """Tells in which type products are computed."""

    def forward(self, tokens, causal):
        return {"l": ((torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16) * torch.ones(())}


def evaluated(job, training, **_):
    batches = [{"tokens": torch.zeros(2, 3, dtype=torch.int64)}]
    torch.set_default_dtype(torch.float32)
    try:
        contexts = (None, torch.autocast("cpu", torch.bfloat16))
        return [training.evaluate(Watching(), batches, causal=False, autocast=context) for context in contexts]
    finally:
        torch.set_default_dtype(torch.float64)


def seeds(job, train, **_):
    return [train.dropout_seed(7, step, share, 2) for step in (0, 1, 2) for share in (0, 1)]


def emptied(job, checkpoint, **_):
    folder = Path(job["output"]) / ".new-step"
    folder.mkdir(parents=True)
    (folder / "half").write_text("")
    checkpoint._emptied(folder)
    return [path.name for path in folder.iterdir()]


class Mesh:
    def size(self):
        return 4


def shared(job, parallelize, **_):
    parallelize.PLAN = {"q": ("columns", 64), "up": ("columns", 1), "o": ("rows", 64)}
    sizes = {"q": (8, 128), "up": (8, 6), "o": (128, 8)}
    models = [torch.nn.ModuleDict({name: torch.nn.Linear(*size)}) for name, size in sizes.items()]
    return [told(lambda: parallelize.apply_tp(model, Mesh())) for model in models]


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


def shares(job, model, modc_torch, **_):
    args = [model.MobyArgs(capacity=capacity) for capacity in (0.1, "1/3", 1, Fraction(1, 8))]
    result = model.Moby(args[0])(torch.zeros(1, 8, dtype=torch.int64))
    live = modc_torch.lively({"share": Fraction(1, 2)}, {"share": 0.1})
    return [*(str(a.capacity) for a in args), list(result.shape), str(live["share"])]
