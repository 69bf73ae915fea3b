"""Counts the memory that a training step of this folder takes on each device, by PyTorch's own trackers.

    python memory.py --batch 16
    python memory.py --batch 64 --shard 8 --precision bf16 --recompute
    python memory.py --batch 16 --tensor 2 --modules 2

Tensors are fake: they have shapes and no values. So one machine counts for many devices, and the model may be larger
than the machine. The step is that of train.py: forward, backward, clipping, AdamW. With a GPU the kernels are those of
CUDA, else those of the CPU, whose attention and dropout keep more.
Not counted are workspaces inside kernels, fragments of the allocator, NCCL and the CUDA context.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import Iterator
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.fsdp._fully_shard._fsdp_param_group as fsdp_group
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.fsdp import FSDPModule
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

import model as exported
import parallelize as parallel
from settings import CONTEXT, LONGEST, PRECISION
from training import make_optimizer, train_step

# What the export knows of the model.
INPUTS: tuple[str, str | None] = ("tokens", "targets")  # the inputs that a text fills

# The terms of a report, and the categories of PyTorch's trackers that each sums up. FSDP2 has categories of its own.
TERMS = {
    "parameters": ("Parameter", "Sharded Param"),
    "gradients": ("Gradient", "Sharded Grad"),
    "moments": ("Optstate", "OptState"),
    "activations": ("Activation",),
    "gathered": ("Unsharded Param", "Unsharded Grad", "All Gather", "Reduce Scatter"),
    "temporary": ("Temp",),
    "other": ("Buffer", "Other", "Inputs"),
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("--batch", type=_count, default=8, help="sequences of a step on all devices together; default: 8")
    add("--length", type=_count, default=CONTEXT, help=f"tokens of a sequence; default: {CONTEXT}")
    add("--replicate", type=_count, default=1, help="devices that hold the same: DDP, or with --shard HSDP")
    add("--shard", type=_count, default=1, help="devices among which FSDP2 shards")
    add("--tensor", type=_count, default=1, help="devices that share out linear maps")
    add("--precision", choices=("f32", "bf16"), default="f32", help=PRECISION)
    add("--recompute", action="store_true", help="keep the inputs of each layer only, for the backward pass")
    add("--modules", type=_count, metavar="DEPTH", help="print PyTorch's snapshots of modules down to this depth too")
    add("--json", action="store_true", help="print bytes as JSON")
    add("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    return p


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return count


class Waiting(TorchDispatchMode):
    """Returns the tensor of a collective where PyTorch waits for it; for fake tensors PyTorch would make a copy."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops._c10d_functional.wait_tensor.default:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def fake() -> Iterator[None]:
    """Makes tensors without values: collectives among them do nothing, and Python reads each number as 1."""
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(dist, "all_reduce", lambda *given, **options: None),
        mock.patch.object(torch.Tensor, "item", lambda tensor: 1),
    ):
        yield


def shard_without_gpu() -> None:
    """Lets FSDP2 run on a CPU. PyTorch 2.6 lacks its events there; without values there is nothing to wait for."""
    parallel.FSDP_ON_CPU = True
    if hasattr(torch.cpu.Stream, "record_event"):
        return
    torch.cpu.Stream.record_event = lambda stream, event=None: event or torch.cpu.Event()
    torch.cpu.Stream.wait_event = lambda stream, event: None
    copy_out = fsdp_group.foreach_all_gather_copy_out

    def kept(result, params, process_group):
        """Copies, but not as a change of parameters that autograd would refuse (pytorch/pytorch#132014)."""
        before = [(tensor, tensor._version) for param in params for tensor in param.all_gather_outputs]
        copy_out(result, params, process_group)
        for tensor, version in before:
            torch._C._autograd._unsafe_set_version_counter(tensor, version)

    fsdp_group.foreach_all_gather_copy_out = kept


def tracked(options: argparse.Namespace) -> MemTracker:
    """The tracker after one step on the first of the devices."""
    device, shares = options.device, options.replicate * options.shard
    if options.batch % shares != 0:
        raise ValueError(f"--batch {options.batch} cannot be shared out among {shares} devices: give a multiple")
    if LONGEST is not None and options.length > LONGEST:
        raise ValueError(f"--length is {options.length}: a sequence of the model has at most {LONGEST} tokens")
    if options.shard > 1 and device == "cpu":
        shard_without_gpu()
    world = shares * options.tensor
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        mesh = parallel.make_mesh(device, world, options.replicate, options.shard, options.tensor)
        with fake():
            return _stepped(options, mesh)
    finally:
        dist.destroy_process_group()


def _stepped(options: argparse.Namespace, mesh: parallel.DeviceMesh) -> MemTracker:
    device, param_dtype = options.device, torch.bfloat16 if options.precision == "bf16" else None
    with torch.device("meta"):
        model = exported.Model()
    parallel.parallelize(model, mesh, recompute=options.recompute, param_dtype=param_dtype)
    model.to_empty(device=device)
    optimizer = make_optimizer(model, 1e-3, 0.1, (0.9, 0.95), 1e-8)
    for group in optimizer.param_groups:
        group["foreach"] = True  # as PyTorch chooses on GPUs; it does not know that fake parameters are parameters
    sharded = isinstance(model, FSDPModule)
    if options.replicate > 1 and not sharded:
        for parameter in model.parameters():  # DDP holds its buckets of gradients from the beginning
            parameter.grad = torch.zeros_like(parameter)
    shape = (options.batch // (options.replicate * options.shard), options.length)
    batch = {name: torch.zeros(shape, dtype=torch.int64, device=device) for name in INPUTS if name is not None}
    amp = options.precision == "bf16" and not sharded
    tracker = _tracker(model, optimizer, batch)
    with tracker, Waiting():
        train_step(model, optimizer, [batch], 1.0, torch.autocast(device, torch.bfloat16) if amp else None)
    return tracker


def _tracker(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> MemTracker:
    inputs = tuple(batch.values())
    if isinstance(model, FSDPModule):
        tracker = FSDPMemTracker(model, optimizer)
        tracker.track_inputs(inputs)
    else:
        tracker = MemTracker()
        tracker.track_external(model, optimizer, *inputs)
    return tracker


def report(tracker: MemTracker, device: str) -> dict[str, int]:
    """Bytes at the peak, by term, and their total."""
    peak = next(found for at, found in tracker.get_tracker_snapshot("peak").items() if at.type == device)
    bytes_of = {getattr(category, "value", category): count for category, count in peak.items()}
    terms = {term: sum(bytes_of.get(name, 0) for name in names) for term, names in TERMS.items()}
    total = bytes_of["Total"]
    if sum(terms.values()) != total:
        raise RuntimeError(f"this PyTorch has other categories than those of PyTorch 2.6: {bytes_of}")
    return {**terms, "total": total}


def shown(count: int) -> str:
    """Bytes with a unit."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count} bytes" if power == 0 else f"{count / 1024**power:.2f} {units[power]}"


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        tracker = tracked(options)
    except ValueError as fault:
        print(f"memory.py: {fault}", file=sys.stderr)
        return 2
    bytes_of = report(tracker, options.device)
    if options.json:
        print(json.dumps(bytes_of))
        return 0
    devices = options.replicate * options.shard * options.tensor
    kernels = "CUDA" if options.device == "cuda" else "a CPU"
    print(f"{options.batch} sequences of {options.length} tokens on {devices} device(s), with the kernels of {kernels}")
    for term, count in bytes_of.items():
        print(f"{term:<12} {shown(count):>12}")
    if options.modules is not None:
        tracker.display_modulewise_snapshots(depth=options.modules, units="MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
