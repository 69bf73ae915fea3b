"""Bytes of tensors that a training step of exported folders takes, counted without real memory.

Reads a JSON list of cases from standard input and writes a list of results. Tensors are fake: they have shapes and no
elements. Every storage that an operation gives is counted from then until nothing holds it any more. Collectives go to a
group of processes that is not there; the step is the folder's own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import weakref
from pathlib import Path

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parent.parent / "export" / "torch"))
import on_cpu  # noqa: E402, F401  what FSDP2 of torch 2.6 lacks on CPU

OWN = ("model", "parallelize", "training", "train", "checkpoint", "data")


class Live(TorchDispatchMode):
    """Counts bytes of storages that live, and the most that lived at once since `reset`."""

    def __init__(self, told: bool = False) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.references: dict[int, weakref.ref] = {}
        self.now = self.most = 0
        self.told = told
        self.marks: dict[str, int] = {}

    def reset(self) -> None:
        self.most = self.now

    def hold(self, tensor: torch.Tensor) -> None:
        if isinstance(tensor, DTensor):
            return self.hold(tensor.to_local())
        storage = tensor.untyped_storage()
        key = id(storage)
        known = self.references.get(key)
        if known is None or known() is not storage:
            self.references[key] = weakref.ref(storage, lambda _: self.forget(key))
            self.sizes[key] = 0
        self.resize(storage, storage.size())

    def resize(self, storage: torch.UntypedStorage, size: int) -> None:
        key = id(storage)
        if key not in self.sizes:
            return
        self.now += size - self.sizes[key]
        self.sizes[key] = size
        if self.now > self.most:
            self.most = self.now

    def forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key)
        del self.references[key]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops._c10d_functional.wait_tensor.default:
            return args[0]  # as it does with data; without, it would give another
        before = self.now
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta":
                self.hold(leaf)
        if self.told:
            shapes = [tuple(leaf.shape) for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            print(f"{self.now:>12} {self.now - before:>10} {func} {shapes}", file=sys.stderr)
        return result


@contextlib.contextmanager
def patched(owner: object, name: str, value: object):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def opened(folder: str):
    """The modules of a folder, and none of another."""
    for name in list(sys.modules):
        if name in OWN or name.startswith("modc_"):
            del sys.modules[name]
    sys.path.insert(0, folder)
    try:
        return {name: importlib.import_module(name) for name in ("model", "parallelize", "training")}
    finally:
        sys.path.remove(folder)


def known(read):
    """What Python reads of a tensor: 1 of one that holds nothing."""

    def item(tensor: torch.Tensor) -> object:
        with _disable_current_modes():
            return read(torch.ones(()) if isinstance(tensor, FakeTensor) or type(tensor) is not torch.Tensor else tensor)

    return item


def nothing(*args: object, **options: object) -> None:
    """A collective among tensors that hold nothing."""


def as_it_is(_, bucket):
    """A bucket of gradients that nobody adds to."""
    done = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


def measured(case: dict) -> dict:
    modules = opened(case["folder"])
    model_file, parallel, training = modules["model"], modules["parallelize"], modules["training"]
    parallel.FSDP_ON_CPU = True
    devices, sharding, bf16 = case["devices"], case["sharding"], case["precision"] == "bf16"
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=devices)
    is_ddp = sharding == "replicated" and devices > 1
    degrees = {"replicated": (devices, 1, 1), "fsdp": (1, devices, 1), "tp": (1, 1, devices)}[sharding]
    mesh = parallel.make_mesh("cpu", devices, *degrees)
    live = Live(case.get("told", False))
    resize = torch.UntypedStorage.resize_

    def resized(storage: torch.UntypedStorage, size: int) -> object:
        result = resize(storage, size)
        live.resize(storage, size)
        return result

    try:
        with (
            # DDP's buckets are filled below Python: its tensors have data.
            contextlib.nullcontext() if is_ddp else FakeTensorMode(allow_non_fake_inputs=True),
            patched(torch.UntypedStorage, "resize_", resized),
            patched(dist, "all_reduce", nothing),
            patched(dist, "all_gather_into_tensor", nothing),
            patched(dist, "reduce_scatter_tensor", nothing),
            patched(torch.Tensor, "item", known(torch.Tensor.item)),
            live,
        ):
            with torch.device("meta"):
                model = getattr(model_file, case["model"])()
            parallel.parallelize(
                model, mesh, recompute=case["recompute"], param_dtype=torch.bfloat16 if bf16 else None
            )
            model.to_empty(device="cpu")
            optimizer = training.make_optimizer(model, 1e-3, 0.1, (0.9, 0.95), 1e-8)
            for group in optimizer.param_groups:
                group["foreach"] = True  # as on CUDA
            live.marks["kept"] = live.now
            whole = parallel.replicated(model, mesh)
            if is_ddp:
                whole.register_comm_hook(None, as_it_is)
            amp = bf16 and not isinstance(model, torch.distributed.fsdp.FSDPModule)
            autocast = torch.autocast("cpu", torch.bfloat16) if amp else contextlib.nullcontext()
            shape = (case["sequences"], case["length"])
            for _ in range(2):
                live.reset()
                batch = {name: torch.zeros(shape, dtype=torch.int64) for name in case["inputs"]}
                training.train_step(whole, optimizer, [batch], 1.0, autocast)
                del batch
            return {"total": live.most, "kept": live.marks["kept"]}
    finally:
        dist.destroy_process_group()


def main() -> None:
    json.dump([measured(case) for case in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
