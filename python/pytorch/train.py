"""Trains the model of this folder, on one device or with `torchrun` on many.

    python train.py --data tokens.bin --output run
    python train.py --data chats.jsonl --chat-template template.jinja --output run
    torchrun --nproc-per-node 8 train.py --data tokens.bin --output run --shard 8 --precision bf16 --compile
    torchrun --nproc-per-node 8 train.py --output run --resume --shard 4 --tensor 2
    torchrun --nproc-per-node 8 train.py --output run --resume --pipeline 4 --micro-batches 4

Options have the names and meanings that they have for `modc train`, which alone has --optimizer (here it is AdamW),
--set (here the model is exported), --dense, --save, --init-missing, --weights-as, --memory, --patience, --sample and
--tensorboard. A text is a file of tokens here; records are JSONL or Parquet. A step reads the windows or records that
it reads there: batches do not depend on the ranks. A run that goes on reads the data that it was begun with.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh

import checkpoint
import modc_torch as mt
import model as exported
from data import Position, Tokens
from modc_files import read_weights
from parallelize import PIPELINE, data_rank, make_mesh, parallelize, replicated
from settings import DeviceError, SettingsError, expect_device, expect_stages, given_in, parser, parts_of, settled
from sources import RecordData, TextData, open_data
from training import (
    Averages, dropout_seed, evaluate, learning_rate, live_at, live_points, live_settled, make_optimizer, train_only,
    train_step,
)  # fmt: skip

if TYPE_CHECKING:
    from pipeline import Pipeline

HERE = Path(__file__).parent
# What the export knows of the model.
CAUSAL = True  # whether the objective has a causal rule, by which texts are generated
ROUTED = True  # whether layers choose tokens
UNSEEN = (
    "note: train.py does not see how many tokens predictors keep: `best` in its log may be a validation whose "
    "predictors keep all, which modc train never calls the best; modc eval of the weights says what they keep"
)


@contextlib.contextmanager
def of_options() -> Iterator[None]:
    """What does not fit here was asked for by options."""
    try:
        yield
    except ValueError as fault:
        raise SettingsError(str(fault)) from fault


def set_up(options: argparse.Namespace) -> tuple[torch.device, DeviceMesh]:
    device = torch.device(options.device)
    if device.type == "cuda":
        device, count = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))), torch.cuda.device_count()
        if device.index >= count:
            raise DeviceError(f"there is no GPU for local rank {device.index}: PyTorch sees {count}")
        torch.cuda.set_device(device)
    # Without torchrun it is a group of one.
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", **alone)
    degrees = (options.replicate, options.shard, options.tensor, options.pipeline)
    with of_options():
        return device, make_mesh(device.type, dist.get_world_size(), *degrees)


def make_model(options: argparse.Namespace, mesh: DeviceMesh, device: torch.device, s: dict, draw: bool) -> nn.Module:
    """The model or this rank's stage, of which no rank ever holds more on its device than its share."""
    stages, args = mesh[PIPELINE].size(), exported.ModelArgs()
    with torch.device("meta"), of_options():
        if stages == 1:
            model = exported.Model(args)
        else:
            from pipeline import Stage  # of models that can be cut

            model = Stage(args, mesh[PIPELINE].get_local_rank(), stages, options.split_points)
    param_dtype = torch.bfloat16 if s["precision"] == "bf16" else None
    with of_options():
        train_only(model, s["only"], checkpoint.paths_of)
        parallelize(model, mesh, recompute=options.recompute, compiled=options.compile, param_dtype=param_dtype)
    model.to_empty(device=device)
    if draw:
        weights = {}
        if dist.get_rank() == 0 or stages > 1:
            torch.manual_seed(s["seed"])
            folder = options.weights or (HERE if (HERE / "model.safetensors").exists() else None)
            weights = weights_of(folder, args) if folder else exported.Model(args).state_dict()
        if stages > 1:  # each rank has read all, and keeps what its stage has
            weights = {name: weights[name] for name in model.state_dict()}
        broadcast = StateDictOptions(full_state_dict=True, broadcast_from_rank0=stages == 1)
        set_model_state_dict(model, weights, options=broadcast)
    return model


def weights_of(folder: str | Path, args: exported.ModelArgs) -> dict[str, Tensor]:
    """Those in a folder, which has those of the model and no others."""
    with torch.device("meta"):
        due = exported.Model(args).state_dict()
    weights = read_weights(folder)
    for name in {**due, **weights}:
        own, theirs = (list(of[name].shape) if name in of else "none" for of in (due, weights))
        if own != theirs:
            raise ValueError(f"{folder} has weights of another model: {name} is {theirs}, and {own} in this folder")
    return weights


class Run:
    """A run on one rank: what it reads, and what it leaves."""

    def __init__(self, options: argparse.Namespace) -> None:
        found = checkpoint.checkpoints(options.output)
        if found and not options.resume:
            raise ValueError(f"{options.output} holds a run already: --resume goes on with it")
        if options.resume and not found:
            raise ValueError(f"{options.output} has no checkpoint to resume from")
        if options.resume and options.weights:
            raise SettingsError("--weights has no effect: --resume takes the weights of the run")
        before = checkpoint.progress_of(found[-1]) if options.resume else None
        self.settings = s = settled(given_in(options), before.settings if before else None)
        self.live = live_points(s["live"], s["steps"])
        self.constant_from = live_settled(self.live)
        expect_stages(options)
        if s["only"] and options.pipeline > 1:
            raise SettingsError(f"--only is {s['only']}: with --pipeline all weights are trained")
        expect_device(options)
        if (parts := parts_of(options, before.settings if before else None)) is not None:
            s["parts"] = parts
        opened = open_data(options, before.data if before else None, s)
        self.device, self.mesh = set_up(options)
        share, shares = data_rank(self.mesh)
        if s["batch"] % shares != 0:
            raise SettingsError(f"a batch of {s['batch']} cannot be shared out among {shares} ranks")
        kind = TextData if isinstance(opened, Tokens) else RecordData
        self.data = kind(opened, s, share, shares)
        stage, stages = self.mesh[PIPELINE].get_local_rank(), self.mesh[PIPELINE].size()
        if stages > 1:
            from pipeline import fault_of  # of models that can be cut
            micro_batches = options.micro_batches or stages
            if kind is RecordData:
                raise SettingsError(f"--pipeline is {stages}: a pipeline takes text, and {options.data} has records")
            if fault := fault_of(s["batch"] // shares, micro_batches, options.by_part):
                raise SettingsError(fault)
        model = make_model(options, self.mesh, self.device, s, draw=not found)
        betas, rates = (s["beta1"], s["beta2"]), {"router": s["router_lr"], "predictor": s["predictor_lr"]}
        self.optimizer = make_optimizer(model, s["lr"], s["weight_decay"], betas, s["eps"], rates)
        self.averages = Averages(model, s["ema"]) if s["ema"] > 0 else None
        self.step, self.position, self.begun = 0, Position(), before.begun if before else None
        if before:
            checkpoint.load(found[-1], model, self.optimizer, self.averages)
            self.step, self.position = before.step, Position(before.epoch, before.window)
        torch.manual_seed(dropout_seed(s["seed"], self.step, stage * shares + share, stages * shares))
        self.model = replicated(model, self.mesh)
        self.output, self.first = Path(options.output), dist.get_rank() == 0
        self.bf16 = s["precision"] == "bf16"
        amp = self.bf16 and not isinstance(model, torch.distributed.fsdp.FSDPModule)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if amp else contextlib.nullcontext()
        self.pipeline = self._pipeline(options, amp, micro_batches) if stages > 1 else None
        self.stopped, self.noted = 0, False
        self.saved, self.best = self.step, math.inf  # the lowest loss of a validation
        if self.first:
            self.output.mkdir(parents=True, exist_ok=True)
            self._cut_log()
        for note in self.data.notes if not before else ():
            self._tell(f"note: {note}")

    def _pipeline(self, options: argparse.Namespace, amp: bool, micro_batches: int) -> Pipeline:
        from pipeline import Pipeline

        made = Pipeline(
            self.model, self.optimizer, self.mesh, self.device, micro_batches, options.pipeline_schedule or "gpipe",
            options.by_part,
        )  # fmt: skip
        made.state.autocast = self.autocast
        made.state.stream = torch.bfloat16 if self.bf16 and not amp else torch.float32
        return made

    def _cut_log(self) -> None:
        """A run that goes on forgets the steps behind its checkpoint."""
        path = self.output / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        kept = [(line, entry) for line in whole if (entry := json.loads(line))["step"] <= self.step]
        path.write_text("".join(line for line, _ in kept))
        losses = (entry["loss"] for _, entry in kept if entry["kind"] == "validation" and entry["counts"])
        self.best = min(losses, default=math.inf)

    def log(self, entry: dict) -> None:
        if not self.first:
            return
        with open(self.output / "log.jsonl", "a") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")

    def train(self) -> int:
        s = self.settings
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        if self.step >= s["steps"]:
            told = f"nothing is left to do: the run has made {self.step} steps"
            self._tell(f"{told}; --steps says how many it makes in all")
        while self.step < s["steps"]:
            if not self._one():
                return 1
            if (self.step % s["validate_every"] == 0 or self.step == s["steps"]) and not self._validate():
                return 1
            stopped = self._agreed()
            if stopped or self.step % s["checkpoint_every"] == 0 or self.step == s["steps"]:
                self._save()
            if stopped:
                return 128 + stopped
        return 0

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped = number

    def _agreed(self) -> int:
        """The signal that some rank got: all stop behind the same step."""
        stopped = torch.tensor(self.stopped, device=self.device)
        dist.all_reduce(stopped, op=dist.ReduceOp.MAX)
        return int(stopped.item())

    def _one(self) -> bool:
        s, began = self.settings, time.perf_counter()
        rate = learning_rate(self.step, s["schedule"], s["lr"], s["min_lr"], s["warmup"], s["steps"], s["decay"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        batches, position, tokens = [], self.position, 0
        live = self._set_live()
        for _ in range(s["accumulate"]):
            rows, position = self.data.next(position, s["batch"])
            batches.append(self._batch(rows))
            tokens += self.data.tokens_in(rows)
        # A compiled layer is one of constant live parameters.
        changes = self.step < self.constant_from
        with torch.compiler.set_stance("force_eager") if changes else contextlib.nullcontext():
            if self.pipeline:
                losses, norm = self.pipeline.train_step(batches, s["clip"])
            else:
                losses, norm = train_step(self.model, self.optimizer, batches, s["clip"], self.autocast)
        if not math.isfinite(norm) or not all(map(math.isfinite, losses.values())):
            told = f"step {self.step + 1} has a loss or a gradient that is no number, and changed nothing"
            return self._no_number(told)
        self.step, self.position = self.step + 1, position
        if self.averages:
            self.averages.step()
        own = sum(loss for name, loss in losses.items() if "." not in name)
        entry = {
            "kind": "step", "step": self.step, "loss": sum(losses.values()), "losses": losses,
            "bitsPerByte": self._bits(own), "learningRate": rate, "live": live, "gradientNorm": norm,
            "tokens": tokens, "seconds": time.perf_counter() - began,
            "first": self.step == self.saved + 1, "ranks": dist.get_world_size(),
        }  # fmt: skip
        self.log(entry)
        if self.step % 10 == 0 or self.step == s["steps"]:
            per = entry["tokens"] / entry["seconds"]
            told = f"step {self.step} of {s['steps']}: loss {entry['loss']:.4f}"
            self._tell(f"{told}, norm {norm:.3f}, {per:,.0f} tokens/s")
        return True

    def _set_live(self) -> dict[str, float]:
        """Makes the live parameters of the next step those of the model."""
        values = live_at(self.live, self.step)
        if values:
            model = getattr(self.model, "module", self.model)
            model.live = mt.lively(exported.Model.live, values)
        return values

    def _no_number(self, told: str) -> bool:
        """Says why the run does not go on: false."""
        last = checkpoint.checkpoints(self.output)
        self._tell(f"{told}; the last checkpoint is {last[-1]}" if last else f"{told}; there is no checkpoint")
        return False

    def _bits(self, nats: float) -> float | None:
        per = self.data.bytes_per_token
        return None if per is None else nats / math.log(2) / per

    def _batch(self, rows: list) -> dict[str, Tensor]:
        return {name: self._placed(x) for name, x in self.data.batch(rows).items()}

    def _placed(self, x: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """A tensor, or one for each axis, on the device."""
        return x.to(self.device) if isinstance(x, Tensor) else {axis: own.to(self.device) for axis, own in x.items()}

    def _validate(self) -> bool:
        """Whether the losses are numbers."""
        s, live = self.settings, self._set_live()
        held, rows = self.data.validation(s["windows"]), s["batch"]
        batches = [self._batch(held[i : i + rows]) for i in range(0, len(held), rows)]
        if not batches:
            return True
        with self.averages.swapped() if self.averages else contextlib.nullcontext():
            rules = {"top-k": self._evaluate(batches, causal=False)}
            if CAUSAL:
                rules["causal"] = self._evaluate(batches, causal=True)
        if not all(map(math.isfinite, rules.values())):
            return self._no_number(f"the validation at step {self.step} has a loss that is no number")
        loss = rules.get("causal", rules["top-k"])
        tokens = self.data.tokens_in(held)
        by_rule = {rule: {"loss": own, "tokens": tokens, "shares": {}} for rule, own in rules.items()}
        counts = self.step >= self.constant_from  # losses with other values are no measure of these
        best = counts and loss < self.best
        self.log({
            "kind": "validation", "step": self.step, "live": live, "counts": counts, "loss": loss,
            "bitsPerByte": self._bits(loss), "best": best, "rules": by_rule, "passage": None,
        })  # fmt: skip
        if best and CAUSAL and ROUTED and not self.noted:
            self.noted = True
            self._tell(UNSEEN)
        self.best = loss if best else self.best
        told = ", ".join(f"{own:.4f} by {rule}" for rule, own in rules.items())
        self._tell(f"validation at step {self.step}: loss {told}")
        return True

    def _evaluate(self, batches: list[dict[str, Tensor]], causal: bool) -> float:
        if self.pipeline:
            return self.pipeline.evaluate(batches, causal)
        return evaluate(self.model, batches, causal, weighed=self.data.counts)  # in f32, unless FSDP2 stores bf16

    def _save(self) -> None:
        if self.step == self.saved:
            return
        at, data = self.position, self.data.described
        progress = checkpoint.Progress(self.step, at.epoch, at.window, self.settings, data, self.begun)
        model = getattr(self.model, "module", self.model)
        path = checkpoint.save(self.output, model, self.optimizer, progress, self.settings["keep"], self.averages)
        self.saved = self.step
        self._tell(f"{path}")

    def _tell(self, text: str) -> None:
        if self.first:
            print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parser(__doc__ or "").parse_args(arguments)
    try:
        return Run(options).train()
    except (ValueError, OSError, checkpoint.CheckpointError) as fault:
        told = f"{fault.filename}: {fault.strerror}" if isinstance(fault, OSError) and fault.filename else fault
        print(f"train.py: {told}", file=sys.stderr)
        return 3 if isinstance(fault, DeviceError) else 2 if isinstance(fault, SettingsError) else 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
