"""Checkpoints that any number of ranks reads, and those of modc, both ways.

    python checkpoint.py from-modc RUN OUTPUT    # a run of `modc train` goes on here, with train.py --resume
    python checkpoint.py to-modc OUTPUT RUN      # and back, with modc train --resume
    python checkpoint.py weights OUTPUT FILE     # its weights alone, as safetensors that modc and `load` read

A checkpoint of PyTorch (`torch.distributed.checkpoint`) has the weights by modc's paths, and the moments of AdamW as
`optimizer.m.<path>` and `optimizer.v.<path>`, as modc has them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

import model as exported
from data import Tokens
from modc_files import Table, keyed, keys_of, named, read_safetensors, table_of, write_safetensors
from training import Averages, live_at, live_points, plain

HERE = Path(__file__).parent
MODEL = "Model"
PARAMETERS: dict[str, str] = {}  # what the model was exported with
FORMAT = "modc-torch-1"
# Settings of a run by modc's names and train.py's; the second may differ when a run goes on.
SETTINGS = {
    "batch": "batch", "accumulate": "accumulate", "context": "length", "seed": "seed", "validation": "validation",
    "lr": "lr", "routerLr": "router_lr", "predictorLr": "predictor_lr",
    "schedule": "schedule", "warmup": "warmup", "minLr": "min_lr", "weightDecay": "weight_decay",
    "beta1": "beta1", "beta2": "beta2", "eps": "eps", "clip": "clip", "live": "live",
    "only": "only", "ema": "ema", "products": "precision",
}  # fmt: skip
MAY_CHANGE = {
    "steps": "steps", "decay": "decay", "validateEvery": "validate_every", "validationWindows": "windows",
    "checkpointEvery": "checkpoint_every", "keep": "keep",
}  # fmt: skip


# Settings of modc by what train.py does in their place.
UNKNOWN = {
    "optimizer": ("optimizer", "adamw", "has AdamW alone"), "save": ("save", "all", "keeps all weights"),
    "precision": ("weights-as", "f32", "has weights in f32"), "dense": ("dense", False, "skips what the model skips"),
}  # fmt: skip


# Settings that older checkpoints lack; routers and predictors had no rates of their own.
UNSAID: dict[str, Any] = {"live": "", "only": "", "ema": 0, "precision": "f32"}
ROLES = ("router_lr", "predictor_lr")


AVERAGE = "average."  # begins the keys of averages in checkpoints of PyTorch
RAW = "raw."  # and those of weights beside averages in checkpoints of modc


class CheckpointError(Exception):
    """What is wrong with a checkpoint, in a sentence."""


@dataclass
class Progress:
    """What a run goes on from beside its tensors."""

    step: int
    epoch: int
    window: int
    settings: dict[str, Any]
    data: dict[str, Any] | None = None  # what is known of the tokens; None: nothing
    begun: dict[str, Any] | None = None  # the run of `modc train` that it goes on with; None: none


def _paths() -> Table:
    """modc's paths of parameters that are called otherwise here."""
    return table_of(HERE, "paths.json")


def _path(name: str) -> str:
    """How a checkpoint of PyTorch calls a tensor: by modc's path, and those of all experts by their name here."""
    path = _paths().get(name, name)
    return path if isinstance(path, str) else name


def paths_of(name: str) -> list[str]:
    """modc's paths of a parameter: several where it has those of all experts."""
    path = _paths().get(name, name)
    return [path] if isinstance(path, str) else path


def _states(model: nn.Module) -> dict[str, Tensor]:
    """What training moves outside the gradient; sums that a step counts are not kept."""
    sums = {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        for own in getattr(module, "tallies", ())
    }
    return {plain(name): values for name, values in model.named_buffers() if name not in sums}


def tensors_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages | None = None
) -> dict[str, Tensor]:
    """Weights, moments and averages by their keys in a checkpoint; shards, where they are sharded."""
    found = {_path(name): values for name, values in _states(model).items()}
    for name, parameter in model.named_parameters():
        path, state = _path(plain(name)), optimizer.state[parameter]
        found[path] = parameter.detach()
        found[f"optimizer.m.{path}"], found[f"optimizer.v.{path}"] = state["exp_avg"], state["exp_avg_sq"]
        if averages is not None and parameter in averages.of:
            found[AVERAGE + path] = averages.of[parameter]
    return found


def save(
    output: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    keep: int,
    averages: Averages | None = None,
) -> Path:
    """Writes a checkpoint, whole or not at all. Every rank calls it."""
    folder = Path(output) / "checkpoints"
    final = folder / f"step-{progress.step:08}"
    fresh = folder / f".new-{final.name}"
    if _first():
        _emptied(fresh)
    _barrier()
    _store(tensors_of(model, optimizer, averages), fresh)
    if _first():
        _finish(fresh, final, progress)
        for old in checkpoints(output)[:-keep]:
            shutil.rmtree(old)
    _barrier()
    return final


def _store(tensors: dict[str, Tensor], folder: Path) -> None:
    with warnings.catch_warnings():
        # PyTorch 2.6 itself calls what it warns of.
        warnings.filterwarnings("ignore", "TypedStorage is deprecated", UserWarning)
        dcp.save(tensors, checkpoint_id=folder)


def _emptied(folder: Path) -> None:
    """Makes a folder anew, without what an interrupted call left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _finish(fresh: Path, final: Path, progress: Progress) -> None:
    told = {"format": FORMAT, "model": MODEL, "parameters": PARAMETERS, **vars(progress)}
    (fresh / "run.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)


def checkpoints(output: str | Path) -> list[Path]:
    """Those of a run, in the order of their steps."""
    return sorted(path.parent for path in Path(output).glob("checkpoints/step-*/run.json"))


def progress_of(path: Path) -> Progress:
    told = json.loads((path / "run.json").read_text())
    if told.pop("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of this train.py")
    _expect_model(path, told.pop("model"), told.pop("parameters", {}))  # older ones keep no parameters
    told["settings"] = _all_of(told["settings"])  # likewise
    return Progress(**told)


def _all_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a checkpoint, also those that an older one lacks."""
    rates = {name: settings["lr"] for name in ROLES if "lr" in settings}
    return {**UNSAID, **rates, **settings}


def _expect_model(path: Path, model: str, parameters: dict[str, str]) -> None:
    """Refuses what is of another model, by its name or by the parameters that both have."""
    if model != MODEL:
        raise CheckpointError(f"{path} is of the model {model}, this folder has {MODEL}")
    others = [name for name, value in PARAMETERS.items() if parameters.get(name, value) != value]
    if others:
        theirs, ours = (", ".join(f"{name}={of[name]}" for name in others) for of in (parameters, PARAMETERS))
        raise CheckpointError(f"{path} is of {model} with {theirs}, this folder has {ours}: export it with their --set")


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages | None = None
) -> Progress:
    """Reads a checkpoint of any number of ranks into a model and its optimizer."""
    progress = progress_of(path)
    tensors = tensors_of(model, optimizer, averages)
    stored = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    for key, values in tensors.items():
        if key not in stored or stored[key].size != values.shape:
            raise CheckpointError(f"{path} has no {key} of shape {list(values.shape)}, as the model of this folder")
    dcp.load(tensors, checkpoint_id=path)
    for state in optimizer.state.values():
        state["step"].fill_(progress.step)
    return progress


def _first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def _barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


def newest_of_modc(run: Path) -> Path:
    """A checkpoint of `modc train`: the folder itself, or the newest of a run."""
    if (run / "manifest.json").exists():
        return run
    found = sorted(path.parent for path in run.glob("checkpoints/step-*/manifest.json"))
    if not found:
        raise CheckpointError(f"{run} has no checkpoint of modc")
    return found[-1]


def from_modc(run: Path, output: Path) -> Path:
    """Writes the newest checkpoint of a run of `modc train` as one of PyTorch."""
    source = newest_of_modc(run)
    manifest = json.loads((source / "manifest.json").read_text())
    settings = manifest["settings"]
    _expect_model(source, manifest["model"], manifest["parameters"])
    for name, (flag, usual, knows) in UNKNOWN.items():
        if settings.get(name, usual) != usual:
            raise CheckpointError(f"{source} was trained with --{flag} {settings[name]}: train.py {knows}")
    if settings.get("products") == "f16":
        raise CheckpointError(f"{source} was trained with --precision f16: train.py scales no loss")
    if found := checkpoints(output):
        before = progress_of(found[-1])
        if before.begun is None or before.begun["data"] != manifest["data"]["digest"]:
            raise CheckpointError(f"{output} holds another run: give a new folder")
        if before.step > manifest["step"]:
            raise CheckpointError(f"{output} has done {before.step} steps already, {source} {manifest['step']}")
    weights, state = _weights_of(source), read_safetensors(source / "state.safetensors")
    averages = {path: values for path, values in weights.items() if RAW + path in state}
    weights |= {path: state[RAW + path] for path in averages}
    with torch.device("meta"):
        made = exported.Model()
    for path, values in keyed(made.state_dict(), _paths()).items():
        if path not in weights or weights[path].shape != values.shape:
            shape = list(values.shape)
            raise CheckpointError(f"{source} has no {path} of shape {shape}: export this folder with its --set")
    states = keyed(_states(made), _paths())
    # What the loss does not depend on has no moments.
    moments = {
        moment: {
            path: state.get(f"optimizer.{moment}.{path}", torch.zeros_like(weight))
            for path, weight in weights.items()
            if path not in states
        }
        for moment in ("m", "v")
    }
    tensors = _together(weights)
    for moment, values in moments.items():
        tensors |= {f"optimizer.{moment}.{path}": value for path, value in _together(values, states).items()}
    if averages:
        held = _together({**weights, **averages}, states)
        tensors |= {AVERAGE + path: value for path, value in held.items() if path not in states}
    at, known = manifest["data"]["position"], {**SETTINGS, **MAY_CHANGE}
    kept = _all_of({own: settings[name] for name, own in known.items() if name in settings})
    begun = {"run": str(source.resolve()), "step": manifest["step"], "data": manifest["data"]["digest"]}
    progress = Progress(manifest["step"], at["epoch"], at["window"], kept, _data_of_modc(source, manifest), begun)
    final = output / "checkpoints" / f"step-{progress.step:08}"
    fresh = final.with_name(f".new-{final.name}")
    _emptied(fresh)
    _store(tensors, fresh)
    _finish(fresh, final, progress)
    return final


def _data_of_modc(source: Path, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """What is known of the tokens of a run of modc, but for their separator; None where it has no file of them."""
    cached = source.resolve().parent.parent / ".cache" / f"tokens-{manifest['data']['digest'][:32]}.bin"
    if not cached.exists():
        return None
    described = Tokens(cached).described
    return {name: value for name, value in described.items() if name != "separator"}


def _together(by_path: dict[str, Tensor], states: Iterable[str] = ()) -> dict[str, Tensor]:
    """Tensors by modc's paths as a checkpoint of PyTorch calls them; without some, that are not there."""
    held = {name: path for name, path in _paths().items() if isinstance(path, list) and path[0] not in states}
    return named(by_path, held)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of a checkpoint of PyTorch by modc's paths: each expert's own, of weights and of moments."""
    lists = {name: path for name, path in _paths().items() if isinstance(path, list)}
    table: Table = dict(lists)
    for begin in ("optimizer.m.", "optimizer.v.", AVERAGE):
        table |= {begin + name: [begin + path for path in paths] for name, paths in lists.items()}
    return keyed(tensors, table)


def _keys() -> dict[str, str]:
    """The keys of weights in files by modc's paths."""
    with torch.device("meta"):
        names = exported.Model().state_dict()
    by_path, by_key = keyed(names, _paths()), keyed(names, keys_of(HERE))
    return dict(zip(by_path, by_key))


def _weights_of(checkpoint: Path) -> dict[str, Tensor]:
    paths = {key: path for path, key in _keys().items()}
    stored = read_safetensors(checkpoint / "model.safetensors")
    return {paths.get(key, key): values for key, values in stored.items()}


def to_modc(output: Path, run: Path) -> Path:
    """Writes the newest checkpoint of train.py into a run that `modc train` began with the same model and data."""
    found = checkpoints(output)
    if not found:
        raise CheckpointError(f"{output} has no checkpoint of train.py")
    source, like = found[-1], newest_of_modc(run)
    progress = progress_of(source)
    manifest = json.loads((like / "manifest.json").read_text())
    _expect_model(like, manifest["model"], manifest["parameters"])
    if progress.begun is None:
        raise CheckpointError(f"{source} did not begin with modc train: `from-modc` takes a run over")
    known, own = _data_of_modc(like, manifest) or {}, progress.data or {}
    same = all(own.get(name, known[name]) == known[name] for name in known if name != "path")
    if progress.begun["data"] != manifest["data"]["digest"] or not same:
        raise CheckpointError(f"{source} was trained on other data than {like}")
    for name, own in SETTINGS.items():
        theirs = manifest["settings"].get(name, manifest["settings"]["lr"] if own in ROLES else UNSAID.get(own))
        ours = progress.settings.get(own)
        if theirs != ours:
            raise CheckpointError(f"{name} is {ours}, and {theirs} in {run}: modc would go on with that")
    if progress.step <= manifest["step"]:
        raise CheckpointError(f"{source} has done {progress.step} steps, {like} {manifest['step']} already")
    tensors = _apart(_read_all(source))
    for key in [key for key in tensors if key.startswith(AVERAGE)]:
        path = key.removeprefix(AVERAGE)
        tensors[RAW + path], tensors[path] = tensors[path], tensors.pop(key)
    weights, moments = _weights_of(like), read_safetensors(like / "state.safetensors")
    for path, values in {**weights, **moments}.items():
        if path != "step.count" and (path not in tensors or tensors[path].shape != values.shape):
            raise CheckpointError(f"{source} has no {path} of shape {list(values.shape)}, as {like} has")
    keys = _keys()
    final = run / "checkpoints" / f"step-{progress.step:08}"
    fresh = final.with_name(f".new-{final.name}-torch")
    _emptied(fresh)
    count = torch.tensor(progress.step, dtype=torch.int32)  # unsigned in the file, and never so large
    state = {path: count if path == "step.count" else tensors[path] for path in moments}
    write_safetensors(fresh / "model.safetensors", {keys.get(path, path): tensors[path] for path in weights})
    write_safetensors(fresh / "state.safetensors", state)
    for entry in manifest["sources"]:
        shutil.copyfile(like / entry["file"], fresh / entry["file"])
    manifest["step"], manifest["validation"] = progress.step, None
    ours = progress.settings
    manifest["live"] = live_at(live_points(ours["live"], ours["steps"]), progress.step)
    manifest["settings"] |= {name: ours[own] for name, own in MAY_CHANGE.items() if own in ours}
    manifest["data"]["position"] = {"epoch": progress.epoch, "window": progress.window}
    manifest["machine"] = {"device": "PyTorch", "driver": torch.__version__}
    manifest["files"] = [_described(path) for path in sorted(fresh.iterdir())]
    (fresh / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    fresh.rename(final)
    link = final.with_name(".new-last")
    link.unlink(missing_ok=True)
    link.symlink_to(final.name)
    link.replace(final.with_name("last"))
    return final


def weights(output: Path, file: Path) -> Path:
    """Writes the weights of the newest checkpoint, or with --ema their averages, to a file under modc's own keys."""
    found = checkpoints(output)
    if not found:
        raise CheckpointError(f"{output} has no checkpoint of train.py")
    if file.exists():
        raise CheckpointError(f"{file} is there already")
    progress_of(found[-1])
    tensors = _apart(_read_all(found[-1]))
    write_safetensors(file, {key: tensors.get(AVERAGE + path, tensors[path]) for path, key in _keys().items()})
    return file


def _read_all(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, whole, in this process."""
    about = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    tensors = {key: torch.empty(entry.size, dtype=entry.properties.dtype) for key, entry in about.items()}
    dcp.load(tensors, checkpoint_id=path)
    return tensors


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def main(arguments: list[str] | None = None) -> int:
    ways = {"from-modc": from_modc, "to-modc": to_modc, "weights": weights}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("way", choices=ways)
    p.add_argument("source", type=Path, help="the run that is read")
    p.add_argument("target", type=Path, help="where it goes")
    given = p.parse_args(arguments)
    try:
        print(ways[given.way](given.source, given.target))
        if given.way == "to-modc":
            print("note: a run's folder stands for its best checkpoint: name this one to use it", file=sys.stderr)
    except (CheckpointError, ValueError, OSError) as fault:
        told = f"{fault.filename}: {fault.strerror}" if isinstance(fault, OSError) and fault.filename else fault
        print(f"checkpoint.py: {told}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
