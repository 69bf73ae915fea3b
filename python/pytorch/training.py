"""One step of training on any number of ranks: losses over global counts, accumulation, clipping, AdamW, validation."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Callable, Collection, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from modc_losses import update_states

# What the export knows of the model. The input of targets, of which negative ones do not count:
TARGETS: str | None = "targets"
# An input along each sequence axis, first that of targets.
ALONG: tuple[tuple[str, str], ...] = (("T", "tokens"),)
# Losses that are means over targets, and over records; the others are means over tokens.
OVER_TARGETS: tuple[str, ...] = ()
OVER_RECORDS: tuple[str, ...] = ()
# Parameters that only choose tokens or experts, and those that only predict such choices.
ROUTERS: tuple[str, ...] = ()
PREDICTORS: tuple[str, ...] = ()
# Parameters without weight decay beside vectors: those that are looked up, not multiplied, and vectors of all experts.
UNDECAYED: tuple[str, ...] = ()
# Live parameters and their kinds, ratio or float.
LIVE: dict[str, str] = {}


def plain(name: str) -> str:
    """The name of a parameter without what wrappers put into it."""
    for wrapper in ("module.", "_orig_mod.", "_checkpoint_wrapped_module."):
        name = name.replace(wrapper, "") if wrapper != "module." else name.removeprefix(wrapper)
    return name


def train_only(model: nn.Module, only: str, paths_of: Callable[[str], list[str]]) -> None:
    """Has those weights learn alone that patterns name, as `modc train --only` does: paths, or names in them.

    paths_of: modc's paths of a parameter, several where it has those of all experts.
    """
    if not only:
        return
    found = set()
    texts = [text.strip() for text in only.split(",")]
    patterns = [re.compile(rf"(?:.*\.)?{'.*'.join(map(re.escape, text.split('*')))}(?:\..*)?") for text in texts]
    for name, parameter in model.named_parameters():
        paths = paths_of(plain(name))
        matching = [{i for i, pattern in enumerate(patterns) if pattern.fullmatch(path)} for path in paths]
        found.update(*matching)
        if any(matching) and not all(matching):
            told = f"{name} has the weights of all experts, which learn together or not at all"
            raise ValueError(f"--only is {only}: {told}")
        parameter.requires_grad_(any(matching))
    for i, text in enumerate(texts):
        if i not in found:
            raise ValueError(f"--only is {only}: no weight of the model is called {text or 'nothing'}")


def make_optimizer(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    rates: dict[str, float] | None = None,
) -> torch.optim.AdamW:
    """AdamW with its moments, which decays matrices, not norms, biases and tables.

    rates: the learning rates of parameters with a role, "router" or "predictor"; `scale` of a group is its own by `lr`.
    Parameters of one mesh are a group: kernels for many tensors take those of one mesh at a time.
    """
    groups: dict[tuple[bool, float, object], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.dim() >= 2 and plain(name) not in UNDECAYED
        role = "router" if plain(name) in ROUTERS else "predictor" if plain(name) in PREDICTORS else ""
        scale = (rates or {}).get(role, lr) / lr
        groups.setdefault((decays, scale, _mesh(parameter)), []).append(parameter)
    made = [
        {"params": group, "weight_decay": weight_decay if decays else 0.0, "lr": lr * scale, "scale": scale}
        for (decays, scale, _), group in groups.items()
    ]
    optimizer = torch.optim.AdamW(made, lr=lr, betas=betas, eps=eps)
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def _mesh(tensor: Tensor) -> object:
    return tensor.device_mesh if isinstance(tensor, DTensor) else None


class Averages:
    """Exponential moving averages of the parameters that learn: they begin at their values."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.of = {parameter: parameter.detach().clone() for parameter in model.parameters() if parameter.requires_grad}

    @torch.no_grad()
    def step(self) -> None:
        """Moves each average by 1 - decay of its difference from the parameter."""
        for parameter, average in self.of.items():
            average.add_(parameter - average, alpha=1 - self.decay)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Within it the model has the averages."""
        with torch.no_grad():
            kept = [parameter.clone() for parameter in self.of]
            for parameter, average in self.of.items():
                parameter.copy_(average)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, values in zip(self.of, kept):
                    parameter.copy_(values)


def learning_rate(
    step: int, kind: str, peak: float, minimum: float, warmup: int, steps: int, decay: int
) -> float:
    """Of the step behind `step` done ones: it rises over `warmup` steps, then stays, or falls until the last."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if kind == "constant":
        return peak
    falling = decay if kind == "wsd" else steps - warmup
    x = min(1.0, max(0.0, (step - (steps - falling) + 1) / falling))
    if kind == "cosine":
        return minimum + (peak - minimum) * (1 + math.cos(math.pi * x)) / 2
    return peak + (minimum - peak) * x


# The values of a live parameter at some steps, in ascending order.
Points = list[tuple[int, float]]


def live_points(live: str, steps: int) -> dict[str, Points]:
    """The schedule of each live parameter that is set, from its line: `capacity=25%`, `capacity=100%@0,25%@50%`."""
    found: dict[str, Points] = {}
    for line in filter(str.strip, live.split("\n")):
        name, _, text = (part.strip() for part in line.partition("="))
        if name not in LIVE:
            told = f"it has {', '.join(LIVE)}" if LIVE else "it has none"
            raise ValueError(f"the model has no live parameter {name!r}: {told}")
        if name in found:
            raise ValueError(f"the live parameter {name} is given twice")
        try:
            points = [_point(part, steps) for part in (text if "@" in text else f"{text}@0").split(",")]
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{line} gives no values: write {name}=12.5%, or {name}=100%@0,12.5%@50%") from None
        if any(after[0] <= point[0] for point, after in zip(points, points[1:])):
            raise ValueError(f"{line}: the points of a schedule rise in step")
        for step, value in points:
            if not math.isfinite(value) or (LIVE[name] == "ratio" and not 0 <= value <= 1):
                raise ValueError(f"{name} is {value} at step {step}: a ratio is from 0 to 1, others are finite")
        found[name] = points
    return found


def _point(text: str, steps: int) -> tuple[int, float]:
    """A value and its step: `12.5%@2000`, or at a share of the run, `12.5%@50%`."""
    value, at = (part.strip() for part in text.split("@"))
    step = math.floor(float(at[:-1]) / 100 * steps + 0.5) if at.endswith("%") else int(at)
    if step < 0:
        raise ValueError("steps count from 0")
    return step, _number(value)


def _number(text: str) -> float:
    if text.endswith("%"):
        return float(text[:-1]) / 100
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(text)


def live_at(points: dict[str, Points], step: int) -> dict[str, float]:
    """The values behind `step` steps: straight lines between points, constant before the first and behind the last."""
    return {name: _value_at(own, step) for name, own in points.items()}


def _value_at(points: Points, step: int) -> float:
    for (first, low), (last, high) in zip(points, points[1:]):
        if first <= step < last:
            return low + (high - low) * (step - first) / (last - first)
    return points[0][1] if step < points[0][0] else points[-1][1]


def live_settled(points: dict[str, Points]) -> int:
    """The step from which on no live parameter changes."""
    last = 0
    for own in points.values():
        for (_, before), (step, value) in zip(own, own[1:]):
            last = max(last, step) if before != value else last
    return last


def dropout_seed(seed: int, step: int, share: int, shares: int) -> int:
    """Of what a rank draws from a step on, other numbers than other ranks and than it drew from an earlier one.

    Ranks that share out linear maps draw the same.
    """
    return seed + step * shares + share


def _reduced(x: Tensor) -> Tensor:
    """The sum over all ranks."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


def _world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def counts_of(batches: list[dict[str, Tensor]]) -> Tensor:
    """Of each batch the tokens that exist, those of them with a target, and the rows: f64[batches, 3] of all ranks."""
    counts = []
    for batch in batches:
        lengths = batch.get("lengths")
        along = [(batch[name], lengths.get(axis) if isinstance(lengths, dict) else lengths) for axis, name in ALONG]
        each = [_exists(*own) for own in along or [(next(iter(batch.values()))[:, None], None)]]
        tokens = torch.stack([exists.sum() for exists in each]).sum()
        targets = batch.get(TARGETS) if TARGETS is not None else None
        aimed = tokens if targets is None else (each[0] & (targets >= 0)).sum()
        counts.append(torch.stack([tokens, aimed, tokens.new_tensor(len(each[0]))]))
    return _reduced(torch.stack(counts).double())


def _exists(given: Tensor, lengths: Tensor | None) -> Tensor:
    """Which tokens of an input exist, bool[B, T]."""
    if lengths is None:
        return torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
    return torch.arange(given.shape[1], device=given.device)[None] < lengths[:, None]


def _counted(loss: str) -> int:
    """Which of `counts_of` a loss is a mean over."""
    return 1 if loss in OVER_TARGETS else 2 if loss in OVER_RECORDS else 0


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[dict[str, Tensor]],
    clip: float = 1.0,
    autocast: contextlib.AbstractContextManager | None = None,
) -> tuple[dict[str, float], float]:
    """One step on the gradients of all batches: the losses and the gradients' norm, those of all ranks together.

    Each loss is a mean over what counts in all batches of all ranks: that of a batch weighs as much as it counts. A
    step whose norm is no finite number changes nothing.
    """
    model.train()
    counts = counts_of(batches)
    weights = (counts / counts.sum(0).clamp(min=1)).tolist()
    totals: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        alone = isinstance(model, DistributedDataParallel) and i < len(batches) - 1
        with model.no_sync() if alone else contextlib.nullcontext():
            with autocast or contextlib.nullcontext():
                losses = model(**batch)
            weighted = {name: loss * weights[i][_counted(name)] for name, loss in losses.items()}
            sum(weighted.values()).backward()
        for name, loss in weighted.items():
            totals[name] = totals.get(name, 0) + loss.detach().double()
    norm = clip_gradients(model, clip)
    if math.isfinite(norm):
        optimizer.step()
    update_states(model, moves=math.isfinite(norm))
    optimizer.zero_grad(set_to_none=True)
    values = _reduced(torch.stack(list(totals.values()))) / _world()
    return dict(zip(totals, values.tolist())), norm


def clip_gradients(
    model: nn.Module,
    limit: float,
    stages: dist.ProcessGroup | None = None,
    counted: Collection[nn.Parameter] = (),
) -> float:
    """Scales gradients down to a norm, unless that is 0, and gives what it was. Tensors and shards of any mesh mix.

    stages: ranks that hold the other stages of the model; counted: parameters whose gradients another of them counts.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    meshes: dict[object, list[Tensor]] = {}
    for parameter in model.parameters():
        if parameter.grad is not None and parameter not in counted:
            meshes.setdefault(_mesh(parameter.grad), []).append(parameter.grad)
    if not gradients:
        raise ValueError("no loss depends on any parameter")
    norms = [torch.zeros((), device=gradients[0].device)]  # of none that this rank counts
    for own in meshes.values():
        each = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in own]
        total = torch.linalg.vector_norm(torch.stack(each))
        norms.append(total.full_tensor() if isinstance(total, DTensor) else total)
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if stages is not None:
        square = norm**2
        dist.all_reduce(square, group=stages)
        norm = square.sqrt()
    if limit > 0:
        factor = (limit / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            (gradient.to_local() if isinstance(gradient, DTensor) else gradient).mul_(factor)
    return norm.item()


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: list[dict[str, Tensor]],
    causal: bool,
    autocast: contextlib.AbstractContextManager | None = None,
    weighed: str | None = None,
) -> float:
    """The objective's own losses over all batches, by the whole sequence or by the causal rule.

    weighed: by which counts batches weigh, "tokens", "targets" or "records"; default: targets, if a loss counts them.
    """
    model.eval()
    weighed = weighed or ("targets" if OVER_TARGETS else "tokens")
    counts = counts_of(batches)[:, ("tokens", "targets", "records").index(weighed)]
    # Under the causal rule the device says how many tokens a layer takes: no whole graph has that.
    eager = torch.compiler.set_stance("force_eager") if causal else contextlib.nullcontext()
    total = torch.zeros((), dtype=torch.float64, device=counts.device)
    with eager:
        for batch, count in zip(batches, counts):
            with autocast or contextlib.nullcontext():
                losses = model(**batch, causal=causal)
            total += sum(loss.double() for loss in losses.values()) * count
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # without a backward pass the root stays whole, and its parameters are not those of others
    return (_reduced(total) / _world() / counts.sum().clamp(min=1)).item()
