"""Means over the sequences of all ranks: losses, and what moves states outside the gradient."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from modc_axes import Axis, spread

# Ranks that hold the same sequences: those among which tensor parallelism shares out linear maps.
copies = 1
# Ranks over whose sequences losses are taken: those of one stage of a pipeline; None: all.
group: dist.ProcessGroup | None = None


class _AllReduce(torch.autograd.Function):
    """The sum over the ranks of the group, and of its gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total, group=group)
        return total


def over_ranks(x: Tensor) -> Tensor:
    """The sum over all ranks, each sequence counted once.

    Data parallelism takes the mean of gradients over ranks. Of a loss that is the same on all of them, the gradient of
    this sum is that of all together: each rank's own part times the number of ranks.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size(group) == 1:
        return x
    return _AllReduce.apply(x) / copies


def _counted(x: Tensor, axis: Axis | None) -> Tensor:
    """Which elements of x[B, ...] exist; the second dimension is along the axis, if there is one."""
    if axis is None or axis.valid is None:
        return torch.ones_like(x, dtype=torch.bool)
    return spread(axis.valid, x)


def batch_total(x: Tensor, axis: Axis | None, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The sum of x[B, ...] over this rank's sequences, and over other dimensions."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.where(_counted(x, axis), x, 0.0).sum(dims, keepdim=keepdim, dtype=dtype)


def batch_count(x: Tensor, axis: Axis | None, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """How many elements each of these sums has."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    if axis is None or axis.valid is None:
        each = torch.ones_like(x, dtype=dtype)
    else:
        each = spread(axis.valid, x).to(dtype)
    return each.sum(dims, keepdim=keepdim)


def batch_sum(x: Tensor, axis: Axis | None, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The sum of x[B, ...] over the sequences of all ranks, and over other dimensions."""
    return over_ranks(batch_total(x, axis, dims, keepdim))


def batch_mean(x: Tensor, axis: Axis | None, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The mean over the sequences of all ranks, and over other dimensions; 0 of none."""
    return _over(batch_total(x, axis, dims, keepdim), batch_count(x, axis, dims, keepdim))


def batch_var(x: Tensor, axis: Axis | None, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The mean square of what x is apart from its mean, likewise."""
    return batch_mean((x - batch_mean(x, axis, dims, True)) ** 2, axis, dims, keepdim)


def _over(total: Tensor, count: Tensor) -> Tensor:
    """A sum of each rank by how much it has, all ranks together."""
    total, count = over_ranks(torch.stack((total, count.to(total.dtype))))
    return total / count.detach().clamp(min=1)


def mean_of_all(x: Tensor, axis: Axis | None) -> Tensor:
    """The mean over the tokens of all sequences of all ranks, and over other dimensions."""
    return batch_mean(x, axis, tuple(range(x.dim())))


def _mean_of_counted(each: Tensor, counted: Tensor) -> Tensor:
    return _over(torch.where(counted, each, 0.0).sum(), counted.sum())


def cross_entropy(logits: Tensor, targets: Tensor, axis: Axis | None) -> Tensor:
    """The mean over tokens with a target; negative targets are none, those beyond the classes are refused."""
    counted = _counted(targets, axis) & (targets >= 0)
    return _mean_of_counted(_surprises(logits, targets, counted), counted)


def log_probability(logits: Tensor, targets: Tensor, axis: Axis | None) -> Tensor:
    """log softmax(logits)[target] of each token; 0 where the target is negative, refused beyond the classes."""
    counted = targets >= 0
    return torch.where(counted, -_surprises(logits, targets, counted & _counted(targets, axis)), 0.0)


def _surprises(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """-log softmax(logits)[target] of each token; what is not counted has any number."""
    classes = logits.shape[-1]
    if not torch.compiler.is_compiling():
        within = ((targets < classes) | ~counted).all()
        torch._assert_async(within, f"targets are below {classes}, the classes of the logits")  # waits for no GPU
    held = targets.clamp(min=0, max=classes - 1)
    logits = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits, held.flatten(), reduction="none").view(targets.shape)


def expect_targets(targets: Tensor | None, axis: Axis) -> None:
    """Refuses negative targets, in a model whose source has u32: all tokens that exist have a target."""
    if targets is not None and not torch.compiler.is_compiling():
        within = ((targets >= 0) | ~_counted(targets, axis)).all()
        torch._assert_async(within, "targets are not negative: the source has u32, i32 where a token may have none")


def binary_cross_entropy(logit: Tensor, target: Tensor, axis: Axis | None) -> Tensor:
    """The mean over tokens of -log sigmoid of the logit where the target is 1, of its negative where it is 0."""
    logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
    each = F.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="none")
    return _mean_of_counted(each, _counted(each, axis))


def contrast(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """The mean over rows i of -log softmax(scale * a[i] @ b.T)[i], of a and b[B, d] of all ranks."""
    dtype = torch.promote_types(a.dtype, torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    others = _rows_of_all(b)
    logits = scale * (a @ others.T)
    each = logits.logsumexp(-1) - scale * (a * b).sum(-1)
    return batch_mean(each, None, (0,))


def _rows_of_all(x: Tensor) -> Tensor:
    """The rows of x[B, d] of all ranks, of which each has equally many; gradients go back to their ranks."""
    ranks = dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1
    if ranks == copies:
        return x
    own = dist.get_rank(group) // copies  # copies of a rank's sequences are next to each other in the mesh
    places = [x if share == own else torch.zeros_like(x) for share in range(ranks // copies)]
    return over_ranks(torch.stack(places)).flatten(0, 1)


def below(path: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of an inner block by their names in the outer one."""
    return {f"{path}.{name}": loss for name, loss in losses.items()}


def keep(model: nn.Module, losses: dict[str, Tensor]) -> None:
    """Takes what blocks counted in one call out of the losses, and adds it to what they counted since the last step.

    It comes as losses do, as a result of each block: a layer that is recomputed counts once.
    """
    for key in [key for key in losses if "tally:" in key]:
        path, name = key.split("tally:")
        block, total = model.get_submodule(path.removesuffix(".")), losses.pop(key)
        before = getattr(block, name)
        setattr(block, name, total if before is None else before + total)


@torch.no_grad()
def update_states(model: nn.Module, moves: bool = True) -> None:
    """Moves all states together by what blocks counted since the last step, and begins to count anew.

    moves: whether they move; a step that was thrown away only counts anew. A block that counted nothing stays.
    """
    blocks = [block for block in model.modules() if hasattr(block, "moved_states")]
    counted = [block for block in blocks if all(getattr(block, name) is not None for name in block.tallies)]
    for block, states in [(block, block.moved_states()) for block in counted if moves]:
        for name, value in states.items():
            block.get_buffer(name).copy_(value)
    for block in blocks:
        for name in block.tallies:
            setattr(block, name, None)
