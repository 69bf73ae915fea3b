"""What runs of exported folders refuse: options, data, models and checkpoints that do not fit, and what diverges."""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

sys.path.insert(0, str(Path(__file__).parent))

from edges import alone, opened, told  # noqa: E402


def answer(job):
    return globals()[job["what"]](job, **opened(job["folder"]))


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


def ran(train, output, *words):
    """How train.py ends, and its last words."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        ended = train.main(["--output", str(output / "run"), "--device", "cpu", *words])
    return [ended, said.getvalue().strip().split("\n")[-1].replace(f"{output}/", "")]


def devices(job, model, train, parallelize, modc_files, **_):
    """How train.py ends where devices and folders are others than its options say."""
    output = Path(job["output"])
    (output / "other").mkdir(parents=True)
    (output / "text").write_text("Call me Ishmael. " * 60)
    weights = modc_files.keyed(model.Moby().float().state_dict(), modc_files.keys_of(job["folder"]))
    weights |= {key: torch.zeros(256, 64, dtype=torch.float32) for key, x in weights.items() if x.shape == (256, 32)}
    modc_files.write_safetensors(output / "other" / "model.safetensors", weights)
    data = ["--data", str(output / "text"), "--length", "16"]

    def failing(*_, **__):
        raise ValueError("q has 2 heads of 64 columns: 3 devices cannot share them out")

    def changed(module, name, value, *words):
        own = getattr(module, name)
        setattr(module, name, value)
        try:
            return ran(train, output, *data, *words)
        finally:
            setattr(module, name, own)

    answers = [
        ran(train, output, *data, "--tensor", "2"),
        changed(train, "data_rank", lambda mesh: (0, 3)),
        changed(train, "parallelize", failing),
        changed(torch.cuda, "is_available", lambda: False, "--device", "cuda"),
        ran(train, output, *data, "--weights", str(output / "other")),
    ]
    with alone():
        mesh = torch.distributed.init_device_mesh("cpu", (1,))
        answers.append(told(lambda: parallelize.apply_fsdp(model.Moby(), mesh)))
    return answers


def diverged(job, train, **_):
    """A run whose weights a step throws out of all bounds."""
    output = Path(job["output"])
    output.mkdir()
    (output / "text").write_text("Call me Ishmael. " * 60)
    words = "--steps 2 --length 16 --batch 2 --validate-every 1 --windows 1 --warmup 0".split()
    torch.set_default_dtype(torch.float32)
    try:
        ended = ran(train, output, "--data", str(output / "text"), "--lr", "1e30", *words)
    finally:
        torch.set_default_dtype(torch.float64)
    log = (output / "run" / "log.jsonl").read_text().splitlines()
    return [*ended, [json.loads(line)["kind"] for line in log]]


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


def live(job, model, train, checkpoint, modc_files, **_):
    """A run of four steps with live parameters that change, and the values that modc is given of it."""
    output = Path(job["output"])
    output.mkdir()
    (output / "text").write_text("Call me Ishmael. " * 60)
    computed = []
    top = train.mt.top

    def counting(*given, **more):
        route = top(*given, **more)
        if torch.is_grad_enabled():
            computed.append(route.index.shape[1])
        return route

    sys.modules["model"].mt.top = counting
    words = "--steps 4 --length 16 --batch 2 --validate-every 2 --windows 1 --warmup 0 --checkpoint-every 4".split()
    torch.set_default_dtype(torch.float32)
    try:
        ended = ran(train, output, "--data", str(output / "text"), "--live-schedule", job["points"], *words)
    finally:
        torch.set_default_dtype(torch.float64)
        sys.modules["model"].mt.top = top
    assert ended[0] == 0, ended
    entries = [json.loads(line) for line in (output / "run" / "log.jsonl").read_text().splitlines()]
    progress = checkpoint.progress_of(checkpoint.checkpoints(output / "run")[-1])
    points = train.live_points(progress.settings["live"], progress.settings["steps"])
    return {
        "steps": [entry["live"]["capacity"] for entry in entries if entry["kind"] == "step"],
        "validations": [[e["live"]["capacity"], e["counts"]] for e in entries if e["kind"] == "validation"],
        "computed": computed,
        "settings": progress.settings["live"],
        "manifest": train.live_at(points, progress.step),
    }


def other_data(job, train, sources, **_):
    """What is said of data that a run goes on with."""
    output = Path(job["output"])
    output.mkdir()
    texts = {"begun": b"some\0text" * 400_000, "moved": b"some\0text" * 400_000, "other": b"some\0next" * 400_000}
    for name, text in texts.items():
        (output / name).write_bytes(text)
    runs = [train.Tokens(output / "begun", None, separator).described for separator in (7, None)]
    answers = []
    for words, before in (*((words, runs[0]) for words in job["words"]), (["begun", "--separator", "0"], runs[1])):
        given = ["--data", str(output / words[0]), *words[1:]] if words else []
        options = train.parser("").parse_args(["--output", "none", *given])
        said = told(lambda: answers.append(sources.tokens_of(options, before).path.name))
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


def crossing(job, model, train, sources, checkpoint, modc_files, **_):
    """What is said of runs that go over from modc, of the data that they go on with, and of those that come back."""
    output = Path(job["output"])
    run, there, alone = (output / name for name in ("modc", "there", "alone"))
    at, cached = run / "checkpoints" / "step-00000002", run / ".cache" / f"tokens-{'a' * 32}.bin"
    cached.parent.mkdir(parents=True)
    at.mkdir(parents=True)
    for path, text in ((cached, "text"), (output / "text", "text"), (output / "other", "next")):
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
    assert said(lambda: checkpoint.from_modc(run, alone)) is None
    kept = checkpoint.checkpoints(alone)[-1] / "run.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"begun": None}))
    came = [
        said(lambda: checkpoint.from_modc(run, there), **heads),
        said(lambda: checkpoint.from_modc(run, there), settings=settings | {"save": "trained"}),
        said(lambda: checkpoint.from_modc(run, there), settings=settings | {"products": "f16"}),
        said(lambda: checkpoint.from_modc(run, alone)),
        said(lambda: checkpoint.from_modc(run, there)),
        said(lambda: checkpoint.from_modc(run, there)),
    ]
    before = checkpoint.progress_of(checkpoint.checkpoints(there)[-1]).data
    options = [train.parser("").parse_args(["--output", "none", "--data", str(output / n)]) for n in ("text", "other")]
    data = [said(lambda: sources.tokens_of(o, before)) for o in options]
    taken(there, 5)
    taken(alone, 5)
    came.append(said(lambda: checkpoint.from_modc(run, there)))
    other = {"data": whole["data"] | {"digest": "b" * 64}}
    back = [
        said(lambda: checkpoint.to_modc(alone, run)),
        said(lambda: checkpoint.to_modc(there, run), **heads),
        said(lambda: checkpoint.to_modc(there, run), **other),
    ]
    cached.write_text("none" * 100)
    back.append(said(lambda: checkpoint.to_modc(there, run)))
    cached.write_text("text" * 100)
    back.append(said(lambda: checkpoint.to_modc(there, run)))
    ends = [status(checkpoint, *words) for words in (["-h"], [], ["weights"])]
    return {"from": came, "data": data, "to": back, "status": ends}


def no_tokens(job, train, sources, **_):
    """What is said of files that hold no tokens of a model with more of them than bytes have values; None: nothing."""
    output = Path(job["output"])
    output.mkdir()
    files = {"text": b"Call me Ishmael. " * 60, "parquet": b"PAR1" + bytes(100), "npy": b"\x93NUMPY" + bytes(100)}
    files |= {"pt": b"PK\x03\x04" + bytes(100), "weights": b"\x40" + bytes(7) + b'{"a":1}' + bytes(100)}
    files |= {"gz": b"\x1f\x8b" + bytes(100), "tokens": b"\x01\x01\x02\x00" * 60, "known": b"\x1f\x8b" * 60}
    for name, data in files.items():
        (output / name).write_bytes(data)
    (output / "known.json").write_text(json.dumps({"tokens": 60, "bytes": 120}))
    answers = []
    for words in job["words"]:
        options = train.parser("").parse_args(["--output", "none", "--data", str(output / words[0]), *words[1:]])
        said = told(lambda: sources.tokens_of(options, None))
        answers.append(said and said.replace(f"{output}/", ""))
    return answers


def only(job, model, train, training, checkpoint, **_):
    """Two runs in which some weights learn alone: what changed, and what was said."""
    output = Path(job["output"])
    output.mkdir()
    (output / "text").write_text("Call me Ishmael. " * 60)
    words = "--steps 2 --length 16 --batch 2 --validate-every 2 --windows 1 --warmup 0 --device cpu --seed 3".split()
    said = io.StringIO()
    torch.set_default_dtype(torch.float32)
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("always")
            given = ["--data", str(output / "text"), "--output", str(output / "run"), *words]
            ended = train.main([*given, "--only", "router,layers.1.*guess"])
        torch.manual_seed(3)
        begun = model.Moby().state_dict()
        given = ["--data", str(output / "text"), *words]
        refused = [ran(train, output / str(i), *given, "--only", *more) for i, more in enumerate(job["refused"])]
    finally:
        torch.set_default_dtype(torch.float64)
    made = checkpoint._read_all(checkpoint.checkpoints(output / "run")[-1])
    changed = sorted(name for name, values in begun.items() if not torch.equal(values, made[name].to(values.dtype)))
    resumed = ran(train, output, "--resume", "--steps", "3", "--only", "router")
    return {
        "ended": ended,
        "changed": changed,
        "noted": said.getvalue().count("note: train.py does not see how many tokens predictors keep"),
        "warned": "TypedStorage" in said.getvalue(),
        "refused": [*refused, resumed],
        "experts": told(lambda: training.train_only(model.Moby(), "a", lambda name: ["experts.0.a", "experts.1.b"])),
        "kept": checkpoint.progress_of(checkpoint.checkpoints(output / "run")[-1]).settings["only"],
    }


def status(script, *words):
    """With which a script ends that its options end."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return script.main(list(words))
        except SystemExit as ended:
            return ended.code
