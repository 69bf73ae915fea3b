"""What a run is told: the options of train.py, and the settings that its checkpoints keep."""

from __future__ import annotations

import argparse
import math

import torch

import checkpoint
from training import live_points

# What the export knows of the model.
CONTEXT = 2048  # tokens of a sequence, where nobody says
LONGEST: int | None = None  # tokens that a sequence may have
UNCUT: str | None = None  # why the model cannot be cut into stages
OF_BATCH: tuple[str, ...] = ()  # losses of a whole batch, which of its parts are others

ONLY = "weights that learn: paths or names in them such as router,guess, * for any characters; default: all"
PRECISION = "bf16: compute products in bf16; weights, moments and reductions stay in f32; default: f32"
OF_PIPELINE = "--micro-batches, --pipeline-schedule, --split-points and --batch-losses-by-part"
POINTS = "layers.3,layers.6: where stages behind the first begin, by names of UNITS in pipeline.py or of their members"


def parser(description: str) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("--data", help="a file of tokens, for models of bytes a text, or records in JSONL or Parquet")
    add("--width", type=int, choices=(1, 2, 4), help="bytes of a token, where no .json beside the file says so")
    add("--separator", type=int, help="the token between documents, after which no token is a target")
    add("--tokenizer", help="the tokenizer.json that encodes texts of records; default: their bytes are the tokens")
    add("--field", help="the column of a text in records; default: text")
    add("--chat-template", help="a file of Jinja that writes messages; default: that of the tokenizer")
    classes = "the classes of an input with one number for each record (repeatable)"
    add("--labels", action="append", default=[], metavar="INPUT=A,B", help=classes)
    add("--learn", choices=("answers", "all"), help="what is learned of prompts and chats; default: answers")
    add("--pack", action="store_true", help="put several records into a sequence, up to --length tokens")
    add("--output", required=True, help="the folder of the run")
    add("--resume", action="store_true", help="go on with the newest checkpoint of the run, on any number of ranks")
    add("--weights", help="a folder whose model.safetensors is begun with; default: this one, if it has any")
    for name, value in SETTINGS.items():
        if name == "only":
            add("--only", default=argparse.SUPPRESS, help=ONLY)
            continue
        if name == "precision":
            add("--precision", choices=("f32", "bf16"), default=argparse.SUPPRESS, help=PRECISION)
            continue
        kind = str if name == "schedule" else float if name in FLOATS else int
        add(f"--{name.replace('_', '-')}", type=kind, default=argparse.SUPPRESS, help=f"default: {value}")
    number = "a live parameter: 0.5, 12.5% or 1/8 (repeatable); default: as the model has it"
    add("--live", action="append", default=[], metavar="NAME=VALUE", help=number.replace("%", "%%"))
    changing = "a live parameter that changes: capacity=100%@0,12.5%@2000, or @50% of the run (repeatable)"
    add("--live-schedule", action="append", default=[], metavar="NAME=VALUE@STEP,...", help=changing.replace("%", "%%"))
    add("--replicate", type=int, default=1, help="devices that hold the same: DDP, or with --shard HSDP")
    add("--shard", type=int, default=-1, help="devices among which FSDP2 shards; default: as many as are left")
    add("--tensor", type=int, default=1, help="devices that share out linear maps")
    add("--pipeline", type=int, default=1, help="stages of the model, each on its own devices")
    add("--micro-batches", type=int, help="parts of a batch, one behind the other in the stages; default: --pipeline")
    add("--pipeline-schedule", choices=("gpipe", "1f1b"), help="their order; default: gpipe; 1f1b is for GPUs")
    add("--split-points", type=_names, default=(), help=POINTS)
    by_part = "losses of a whole batch may be of micro-batches instead"
    add("--batch-losses-by-part", dest="by_part", action="store_true", help=by_part)
    add("--bf16", action="store_true", help=argparse.SUPPRESS)  # its former name, which is refused
    add("--recompute", action="store_true", help="keep the inputs of each layer only, for the backward pass")
    add("--compile", action="store_true", help="compile each layer")
    add("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    return p


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


# Settings of a run, which its checkpoints keep; some depend on others.
SETTINGS: dict[str, object] = {
    "steps": 1000, "batch": 8, "accumulate": 1, "length": "as many as the model allows, at most 2048", "seed": 0,
    "validation": 0.05, "lr": 1e-3, "router_lr": "that of --lr",
    "predictor_lr": "ten times --lr, at most 1e-2 or --lr", "schedule": "cosine",
    "warmup": "a tenth, at most 100", "min_lr": "a tenth of lr", "decay": "a fifth",
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "clip": 1.0, "ema": "none",
    "validate_every": 100, "windows": 64, "checkpoint_every": 500, "keep": 3,
    "only": "", "precision": "f32",
}  # fmt: skip
MOST_SEED = 2**32 - 1
# Settings of a learning rate that falls, by the schedules that have them.
FALLING = {"min_lr": ("cosine", "linear", "wsd"), "decay": ("wsd",)}
AT_LEAST = {
    "steps": 1, "batch": 1, "accumulate": 1, "length": 1, "seed": 0, "warmup": 0, "min_lr": 0, "decay": 1,
    "weight_decay": 0, "clip": 0, "validate_every": 1, "windows": 0, "checkpoint_every": 1, "keep": 1,
}  # fmt: skip
FLOATS = {
    "validation", "lr", "router_lr", "predictor_lr", "min_lr", "weight_decay", "beta1", "beta2", "eps", "clip", "ema",
}  # fmt: skip


class SettingsError(ValueError):
    """What is wrong with a setting, in a sentence."""


class DeviceError(ValueError):
    """What is wrong with the devices, in a sentence."""


def given_in(options: argparse.Namespace) -> dict[str, object]:
    """The settings among the options. Live parameters are a setting of lines, as in checkpoints of modc."""
    if options.bf16:
        raise SettingsError("--bf16 is called --precision bf16")
    for line in options.live:
        if "@" in line:
            raise SettingsError(f"--live {line} has steps: --live-schedule")
    lines = [*options.live, *options.live_schedule]
    given = {name: value for name, value in vars(options).items() if name in SETTINGS}
    return {**given, "live": "\n".join(lines)} if lines else given


def settled(given: dict[str, object], before: dict[str, object] | None) -> dict:
    """All settings. Those of a run that goes on stay, but for those that may change."""
    if before is not None:
        for name, value in given.items():
            if name not in checkpoint.MAY_CHANGE.values() and before.get(name) != value:
                raise SettingsError(f"{_flag(name)} is {value}: the run was begun with {before.get(name)}")
        return _with_effect(given, checked({**before, **given}))
    s = {**SETTINGS, "length": CONTEXT, "live": "", "ema": 0.0, **given}
    for name, usual in (
        ("warmup", lambda: min(100, s["steps"] // 10)),
        ("min_lr", lambda: s["lr"] / 10),
        ("router_lr", lambda: s["lr"]),
        ("predictor_lr", lambda: max(s["lr"], min(10 * s["lr"], 1e-2))),
        ("decay", lambda: max(1, min(s["steps"] - s["warmup"], s["steps"] // 5))),
    ):
        if name not in given:
            s[name] = usual()
    return _with_effect(given, checked(s))


def _with_effect(given: dict[str, object], s: dict) -> dict:
    """The settings, if none of those given is of another schedule."""
    for name, schedules in FALLING.items():
        if name in given and s["schedule"] not in schedules:
            raise SettingsError(f"{_flag(name)} has no effect: it is of --schedule {', '.join(schedules)}")
    return s


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def checked(s: dict) -> dict:
    """The settings, if a run can have them."""

    def must(name: str, holds: bool, what: str) -> None:
        if not holds:
            raise SettingsError(f"{_flag(name)} is {s[name]}: it is {what}")

    for name in ("lr", "router_lr", "predictor_lr", "eps"):
        must(name, 0 < s[name] < math.inf, "above 0")
    for name, least in AT_LEAST.items():
        must(name, least <= s[name] < math.inf, f"at least {least}")
    for name in ("validation", "beta1", "beta2", "ema"):
        must(name, 0 <= s[name] < 1, "from 0 to below 1")
    must("schedule", s["schedule"] in ("cosine", "linear", "constant", "wsd"), "cosine, linear, constant or wsd")
    must("seed", s["seed"] <= MOST_SEED, f"at most {MOST_SEED}")
    must("min_lr", s["min_lr"] <= s["lr"], f"at most --lr, {s['lr']}")
    must("warmup", s["warmup"] <= s["steps"], f"at most --steps, {s['steps']}")
    if s["schedule"] == "wsd":
        behind = s["steps"] - s["warmup"]
        must("decay", s["decay"] <= behind, f"at most the {behind} steps behind the warm-up")
    try:
        live_points(s["live"], s["steps"])
    except ValueError as fault:
        raise SettingsError(str(fault)) from None
    if LONGEST is not None:
        must("length", s["length"] <= LONGEST, f"at most {LONGEST}, the most tokens that a sequence of the model has")
    return s


def expect_device(options: argparse.Namespace) -> None:
    """Refuses a GPU that PyTorch does not see."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device is cuda: PyTorch sees no GPU")


def expect_stages(options: argparse.Namespace) -> None:
    """Refuses stages that the model does not have, and options of stages where there are none."""
    stages, micro, order = options.pipeline, options.micro_batches, options.pipeline_schedule
    if stages < 1:
        raise SettingsError(f"--pipeline is {stages}: it is at least 1")
    if stages > 1 and UNCUT is not None:
        raise SettingsError(f"--pipeline is {stages}: {UNCUT}")
    if stages == 1 and any((micro is not None, order, options.split_points, options.by_part)):
        raise SettingsError(f"{OF_PIPELINE} are of --pipeline")
    if micro is not None and micro < 1:
        raise SettingsError(f"--micro-batches is {micro}: it is at least 1")
    if order == "1f1b" and options.device == "cpu":
        # PyTorch 2.6 waits for the last of several messages alone, which under gloo is not for all.
        raise SettingsError("--pipeline-schedule is 1f1b: on CPU it is gpipe")


def parts_of(options: argparse.Namespace, before: dict[str, object] | None) -> int | None:
    """The parts of a batch that some loss is of, which a run that goes on keeps; None where no loss is of a part."""
    if not OF_BATCH:
        return None
    parts = options.micro_batches or options.pipeline
    begun = parts if before is None else before.get("parts", 1)
    if parts != begun:
        told = f"a batch has {parts} parts: the run was begun with {begun}, and {OF_BATCH[0]} is of each part"
        raise SettingsError(told)
    return parts
