"""The model in stages, one behind the other on devices of their own, and a step of training through them.

A stage is the model with some of its blocks alone, under their names in the whole: checkpoints do not know of stages.
The schedules are those of `torch.distributed.pipelining`.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Collection, Iterator, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.tensor import DTensor

import model as exported
import modc_torch as mt
from modc_losses import update_states
from parallelize import PIPELINE
from training import OVER_TARGETS, clip_gradients, counts_of

# What the export knows of the model. Its tokens, with which the first stage begins:
TOKENS = "tokens"
# Losses that are no means over tokens or targets, as of balance: of a part of a batch they are others.
OF_BATCH: tuple[str, ...] = ()
# Inputs that stages read beside what goes through them.
READ: tuple[str, ...] = ("targets", "lengths")


class Unit(NamedTuple):
    """Statements of the model that stay together, or a list of blocks each of which may begin a stage."""

    name: str
    reads: tuple[str, ...]  # blocks and weights of the model, or members of its lists
    is_list: bool = False


UNITS: tuple[Unit, ...] = ()

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}


class InjectLoss(torch.autograd.Function):
    """A tensor as it is; in the backward pass a loss gets its gradient: one of a stage that is not the last."""

    @staticmethod
    def forward(ctx, x: Tensor, loss: Tensor) -> Tensor:
        ctx.dtype = loss.dtype
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, torch.ones((), dtype=ctx.dtype, device=gradient.device)


@dataclass
class StageState:
    """What a stage knows beside its blocks."""

    units: frozenset[str]
    is_last: bool
    stream: torch.dtype = torch.float32  # of what goes from stage to stage
    autocast: contextlib.AbstractContextManager = field(default_factory=contextlib.nullcontext)
    totals: Tensor | None = None  # i64[2], tokens and targets of all micro-batches of a step
    losses: dict[str, Tensor] = field(default_factory=dict)  # of those that have gone through

    def begin(self, totals: Tensor) -> None:
        """Begins to gather losses of batches with so many tokens and targets."""
        self.losses, self.totals = {}, totals.clamp(min=1)


class Stage(exported.Model):
    """Some units of the model in a row; what others have is None here."""

    def __init__(self, args: exported.ModelArgs | None, index: int, stages: int, points: tuple[str, ...] = ()) -> None:
        super().__init__(args)
        parts = parts_of(self)
        bounds = [0, *bounds_of(self, parts, stages, points), len(parts)]
        own = parts[bounds[index] : bounds[index + 1]]
        self.stage = StageState(frozenset(name for part in own for name in part.names), is_last=index == stages - 1)
        _keep(self, {place for part in own for place in part.reads})

    def forward(self, x: Tensor, counts: Tensor, causal: bool = False, **inputs: Tensor | None) -> Tensor:
        """What the next stage goes on from; of the last the sum of its losses.

        - x: what the stage before gives, of the first the tokens.
        - counts: i64[1, 2], the tokens and targets of this micro-batch on all ranks: its losses weigh as much.
        """
        stage = self.stage
        with stage.autocast:
            live = getattr(self, "live", None)  # of models that have live parameters
            run = mt.Run(causal=causal, training=self.training, objective=True, live=live)
            x, losses = self.stage_forward(x, run, **inputs)
        mt.keep(self, losses)
        weights = counts[0] / stage.totals
        weighted = {name: loss * weights[int(name in OVER_TARGETS)] for name, loss in losses.items()}
        for name, loss in weighted.items():
            stage.losses[name] = stage.losses.get(name, 0) + loss.detach().double()
        if stage.is_last:
            return torch.stack(list(weighted.values())).float().sum(0, keepdim=True)
        x = x.to(stage.stream).contiguous()  # as the next stage receives it
        return InjectLoss.apply(x, sum(weighted.values())) if weighted else x

    def stage_forward(self, x: Tensor, run: mt.Run) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError  # what the export writes here


def stream_width(args: exported.ModelArgs) -> tuple[int, ...]:
    raise NotImplementedError  # likewise


def _keep(module: nn.Module, places: Collection[str], path: str = "") -> None:
    """Of a module only what stands at some places, or in a block there; members of its lists keep their numbers."""
    for name, child in list(module.named_children()):
        own = f"{path}{name}"
        if own in places:
            continue
        if isinstance(child, nn.ModuleList) or any(place.startswith(f"{own}.") for place in places):
            _keep(child, places, f"{own}.")
        else:
            setattr(module, name, None)
    for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if f"{path}{name}" not in places:
            setattr(module, name, None)


class Part(NamedTuple):
    """What may begin a stage: a unit, or a member of one that is a list; behind it those without parameters."""

    names: tuple[str, ...]
    reads: tuple[str, ...]


def parts_of(model: nn.Module) -> list[Part]:
    """Of the whole model, in order. Each has parameters, since a stage without any would have nothing to train."""
    known = dict(model.named_parameters())
    parts: list[Part] = []
    for name, reads in _units_of(model):
        if parts and not (_held(known, reads) and _held(known, parts[-1].reads)):
            last = parts.pop()
            parts.append(Part((*last.names, name), (*last.reads, *reads)))
        else:
            parts.append(Part((name,), reads))
    return parts


def _units_of(model: nn.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of units, and of members of those that are lists, with what each reads."""
    for unit in UNITS:
        if unit.is_list:
            members = [f"{unit.name}.{i}" for i in range(len(getattr(model, unit.name)))]
            yield from ((name, (name, *unit.reads)) for name in members)
        else:
            yield unit.name, unit.reads


def _held(parameters: Collection[str], places: tuple[str, ...]) -> set[str]:
    """The parameters that stand at some places, or in a block there."""
    return {name for name in parameters if any(f"{name}.".startswith(f"{place}.") for place in places)}


def bounds_of(model: nn.Module, parts: list[Part], stages: int, points: tuple[str, ...] = ()) -> list[int]:
    """Where the stages behind the first begin: at `points`, or so that all have about as many parameters.

    What several parts read, as a tied table, counts for none.
    """
    names = [part.names[0] for part in parts]
    if stages > len(parts):
        raise ValueError(f"{stages} stages: the model has {len(parts)} parts with parameters, {', '.join(names)}")
    if points:
        for point in points:
            if point not in names[1:]:
                raise ValueError(f"no stage can begin at {point}: these can: {', '.join(names[1:])}")
        bounds = [names.index(point) for point in points]
        if len(points) != stages - 1 or bounds != sorted(set(bounds)):
            raise ValueError(f"{stages} stages have {stages - 1} points, in order, where those behind the first begin")
        return bounds
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    held = [_held(sizes, part.reads) for part in parts]
    read = Counter(name for own in held for name in own)
    sums = [0]
    for own in held:
        sums.append(sums[-1] + sum(sizes[name] for name in own if read[name] == 1))
    bounds: list[int] = []
    for stage in range(1, stages):
        least, most = (bounds[-1] if bounds else 0) + 1, len(parts) - (stages - stage)
        bounds.append(min(range(least, most + 1), key=lambda at: abs(sums[at] - sums[-1] * stage / stages)))
    return bounds


def fault_of(rows: int, micro_batches: int, by_parts: bool) -> str | None:
    """Why a share of so many sequences cannot go through the stages in micro-batches, in a sentence; None if it can.

    by_parts: whether losses of whole batches may be of parts.
    """
    if micro_batches > 1 and OF_BATCH and not by_parts:
        return (
            f"{OF_BATCH[0]} is of a whole batch: of {micro_batches} micro-batches it is another loss, as with "
            "--accumulate; --micro-batches 1, or --batch-losses-by-part, which takes it so"
        )
    return f"a share of {rows} sequences cannot be {micro_batches} micro-batches" if rows % micro_batches else None


def _sum_gradients(parameters: list[nn.Parameter], group: dist.ProcessGroup) -> None:
    """Sums those of parameters that several stages have: each of them has one where any has."""
    having = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    having = having.to(parameters[0].device)
    dist.all_reduce(having, group=group)
    for parameter, found in zip(parameters, having.tolist()):
        if not found:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradient = parameter.grad
        dist.all_reduce(gradient.to_local() if isinstance(gradient, DTensor) else gradient, group=group)


class Pipeline:
    """A stage among others: what `train_step` and `evaluate` of training.py are to a whole model."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        mesh: DeviceMesh,
        device: torch.device,
        micro_batches: int,
        schedule: str = "gpipe",
        by_parts: bool = False,
    ) -> None:
        """module: the stage, or its replica of DDP. by_parts: whether losses of whole batches may be of parts."""
        if fault := fault_of(micro_batches, micro_batches, by_parts):
            raise ValueError(fault)
        self.module, self.optimizer, self.device = module, optimizer, device
        self.stage: Stage = getattr(module, "module", module)
        self.state, self.width = self.stage.stage, stream_width(self.stage.args)
        self.by_parts, self.micro_batches, self.schedule = by_parts, micro_batches, SCHEDULES[schedule]
        self.group = mesh[PIPELINE].get_group()
        self.index, self.stages = mesh[PIPELINE].get_local_rank(), mesh[PIPELINE].size()
        self._schedules: dict[tuple[int, int], ScheduleGPipe | Schedule1F1B] = {}
        self._share(mesh)

    def _share(self, mesh: DeviceMesh) -> None:
        """Finds which parameters several stages have, and makes groups of these stages."""
        own = dict(self.stage.named_parameters())
        held: list[list[str]] = [[]] * self.stages
        dist.all_gather_object(held, list(own), group=self.group)
        having: dict[str, tuple[int, ...]] = {}
        for name in sorted({name for names in held for name in names}):
            having[name] = tuple(stage for stage, names in enumerate(held) if name in names)
        columns = mesh.mesh.flatten(1).T.tolist()
        self._tied: list[tuple[list[nn.Parameter], dist.ProcessGroup]] = []
        for stages in sorted({stages for stages in having.values() if len(stages) > 1}):
            ranks = [[column[stage] for stage in stages] for column in columns]
            group, _ = dist.new_subgroups_by_enumeration(ranks)
            if self.index in stages:
                self._tied.append(([own[name] for name, having_it in having.items() if having_it == stages], group))
        # Norms count each parameter once: where it is first.
        self._counted_before = {own[name] for name in own if having[name][0] < self.index}

    def _schedule_of(self, rows: int, tokens: int) -> ScheduleGPipe | Schedule1F1B:
        """The schedule for batches of a size: what is sent has a shape that both sides know."""
        key = (rows, tokens)
        if key not in self._schedules:
            micro = rows // self.micro_batches
            stream = torch.empty((micro, tokens, *self.width), dtype=self.state.stream, device="meta")
            first = torch.empty((micro, tokens), dtype=torch.int64, device="meta")
            stage = PipelineStage(
                self.module, self.index, self.stages, self.device, group=self.group,
                input_args=(first if self.index == 0 else stream,),
                output_args=(torch.empty(1, device="meta") if self.state.is_last else stream,),
            )  # fmt: skip
            # The losses are weighted here: newer versions of PyTorch would divide gradients by micro-batches.
            known = inspect.signature(self.schedule).parameters
            options = {"scale_grads": False} if "scale_grads" in known else {}
            made = self.schedule(stage, self.micro_batches, loss_fn=lambda loss, _: loss.sum(), **options)
            self._schedules[key] = made
        return self._schedules[key]

    def train_step(self, batches: list[dict[str, Tensor]], clip: float) -> tuple[dict[str, float], float]:
        """One step as that of training.py on the micro-batches of all batches: all losses, and the norm."""
        self.module.train()
        for batch in batches:
            if fault := fault_of(batch[TOKENS].shape[0], self.micro_batches, self.by_parts):
                raise ValueError(fault)
        parts = [part for batch in batches for part in self._parts(batch)]
        counts = counts_of(parts)[:, :2].long()
        self.state.begin(counts.sum(0))
        for batch, own in zip(batches, counts.split(self.micro_batches)):
            tokens = batch[TOKENS]
            given = (tokens,) if self.index == 0 else ()
            # A schedule hands the last stage's result and a target to the loss function: here the result is the loss.
            target = {"target": tokens} if self.state.is_last else {}
            self._schedule_of(*tokens.shape).step(*given, counts=own, **self._inputs(batch), **target)
        if isinstance(self.module, FSDPModule) and self.device.type == "cuda":
            # The schedule of PyTorch 2.6 begins to reduce gradients, on a stream of their own, and does not wait.
            torch.cuda.synchronize(self.device)
        for parameters, group in self._tied:
            _sum_gradients(parameters, group)
        norm = clip_gradients(self.stage, clip, self.group, self._counted_before)
        if math.isfinite(norm):
            self.optimizer.step()
        update_states(self.stage, moves=math.isfinite(norm))
        self.optimizer.zero_grad(set_to_none=True)
        return self._losses(), norm

    def _parts(self, batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        pieces = {name: x.tensor_split(self.micro_batches) for name, x in batch.items()}
        return [{name: own[i] for name, own in pieces.items()} for i in range(self.micro_batches)]

    def _inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What all stages are given beside the tokens."""
        return {name: x for name, x in batch.items() if name in READ}

    def _losses(self) -> dict[str, float]:
        """Those of all stages, in the order of the model."""
        gathered: list[dict[str, float]] = [{}] * self.stages
        names, values = list(self.state.losses), list(self.state.losses.values())
        own = dict(zip(names, torch.stack(values).tolist())) if values else {}
        dist.all_gather_object(gathered, own, group=self.group)
        return {name: loss for losses in gathered for name, loss in losses.items()}

    @torch.no_grad()
    def evaluate(self, batches: list[dict[str, Tensor]], causal: bool) -> float:
        """As that of training.py."""
        self.module.eval()
        parts = [part for batch in batches for part in self._parts(batch) if len(part[TOKENS]) > 0]
        tokens, targets, _ = counts_of(parts).long().unbind(1)
        weighs = targets if OVER_TARGETS else tokens  # of all losses, as in training.py
        counts = torch.stack((weighs, weighs), dim=1)
        self.state.begin(counts.sum(0))
        eager = torch.compiler.set_stance("force_eager") if causal else contextlib.nullcontext()
        ranks = dist.get_process_group_ranks(self.group)
        with eager:
            for part, own in zip(parts, counts):
                x = part[TOKENS]
                if self.index > 0:
                    x = torch.empty((*x.shape, *self.width), dtype=self.state.stream, device=self.device)
                    dist.recv(x, ranks[self.index - 1])
                x = self.stage(x, counts=own[None], causal=causal, **self._inputs(part))
                if not self.state.is_last:
                    dist.send(x.contiguous(), ranks[self.index + 1])
        for module in self.stage.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # as in training.py
        return sum(self._losses().values())
