"""A model on many devices, by torchtitan's four steps: tensor parallelism, activation checkpointing, compiling, and
sharded or replicated data.

Each step is a function of its own and changes the model in place. Routers and predictors are whole on every device of
tensor parallelism, so all of them make the same choices.
"""

from __future__ import annotations

import fnmatch
import math
from types import MethodType
from typing import Iterator

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import modc_losses

# Linear maps that tensor parallelism shares out: of "columns" each device has some results, of "rows" it takes some
# operands, and the results of all are added up. Beside that, how many stay together: the width of a head, else 1. All
# other maps are whole on each. Of experts each device has some columns or rows of every one.
PLAN: dict[str, tuple[str, int]] = {}

# Methods of layers that are called beside `forward`: parameters are gathered for them too.
METHODS: tuple[str, ...] = ()

# Whether FSDP2 may run on CPU. PyTorch 2.6 lacks its streams there, and gloo's mean of gradients is their sum: only who
# has mended both says so.
FSDP_ON_CPU = False

PIPELINE, REPLICATE, SHARD, TENSOR = "pipeline", "replicate", "shard", "tensor"


def make_mesh(
    device: str, world: int, replicate: int = 1, shard: int = -1, tensor: int = 1, pipeline: int = 1
) -> DeviceMesh:
    """Devices as [pipeline, replicate, shard, tensor]; one of replicate and shard may be -1: as many as are left."""
    asked = {"pipeline": pipeline, "replicate": replicate, "shard": shard, "tensor": tensor}
    known = math.prod(degree for degree in asked.values() if degree != -1)
    degrees = [max(world // max(known, 1), 1) if degree == -1 else degree for degree in asked.values()]
    if min(degrees) < 1 or math.prod(degrees) != world:
        wanted = " x ".join(f"{name} {degree}" for name, degree in asked.items() if degree != -1)
        raise ValueError(f"{wanted} does not come out at the {world} devices that there are")
    return init_device_mesh(device, tuple(degrees), mesh_dim_names=(PIPELINE, REPLICATE, SHARD, TENSOR))


def layers_of(model: nn.Module) -> Iterator[tuple[nn.ModuleList, int]]:
    """The members of the model's lists of blocks: the units that are sharded, compiled and recomputed."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from ((child, i) for i in range(len(child)) if child[i] is not None)  # other stages have the rest


class LinearParallel(ParallelStyle):
    """Shares out a linear map of weight[out, in], or those of all experts of a list, weight[experts, out, in].

    They compute on plain tensors: a DTensor has no views where there are no rows, as of a route that nobody takes, and
    the product of rows with their own experts' weights knows plain tensors alone.
    """

    def __init__(self, style: str) -> None:
        self.columns = style == "columns"

    def _apply(self, module: nn.Module, mesh: DeviceMesh) -> nn.Module:
        if module.weight.dim() == 2:
            module.forward = MethodType(_columns_here if self.columns else _rows_here, module)
        if self.columns:
            return distribute_module(module, mesh, self._share, input_fn=self._gradients_of_all)
        return distribute_module(module, mesh, self._share, output_fn=self._sum_of_all)

    def _share(self, name: str, module: nn.Module, mesh: DeviceMesh) -> None:
        for name, parameter in list(module.named_parameters(recurse=False)):
            last = parameter.dim() - 1
            if name == "weight":
                placement = Shard(last - 1 if self.columns else last)
            else:
                placement = Shard(last) if self.columns else Replicate()
            module.register_parameter(name, nn.Parameter(distribute_tensor(parameter, mesh, [placement])))

    @staticmethod
    def _gradients_of_all(module: nn.Module, inputs: tuple, mesh: DeviceMesh) -> tuple:
        x, *others = inputs
        x = DTensor.from_local(x, mesh, [Replicate()], run_check=False).to_local(grad_placements=[Partial()])
        return (x, *others)

    @staticmethod
    def _sum_of_all(module: nn.Module, y: Tensor, mesh: DeviceMesh) -> Tensor:
        parts = DTensor.from_local(y, mesh, [Partial()], run_check=False)
        y = parts.redistribute(placements=[Replicate()]).to_local()
        bias = getattr(module, "bias", None)
        return y if bias is None else y + bias.to_local().to(y.dtype)  # once, not by each device


def _columns_here(module: nn.Linear, x: Tensor) -> Tensor:
    """The results that this device has."""
    return F.linear(x, module.weight.to_local(), None if module.bias is None else module.bias.to_local())


def _rows_here(module: nn.Linear, x: Tensor) -> Tensor:
    """What this device adds to each result."""
    return F.linear(x, module.weight.to_local())


def apply_tp(model: nn.Module, mesh: DeviceMesh) -> None:
    """Shares linear maps out by PLAN; those of experts that compute together where the devices divide them."""
    degree = mesh.size()
    for path, module in list(model.named_modules()):
        found = next((planned for pattern, planned in PLAN.items() if fnmatch.fnmatchcase(path, pattern)), None)
        if found is None:
            continue
        style, width = found
        size = module.weight.shape[-2 if style == "columns" else -1]
        if size % (width * degree) != 0:
            if module.weight.dim() == 3:
                continue  # experts are whole then
            what = f"{size} {style}" if width == 1 else f"{size // width} heads of {width} {style}"
            raise ValueError(f"{path} has {what}: {degree} devices cannot share them out")
        parallelize_module(module, mesh, LinearParallel(style))


def apply_ac(model: nn.Module) -> None:
    """Keeps the inputs of each layer only, and computes the rest again in the backward pass."""
    for layers, i in layers_of(model):
        layers[i] = checkpoint_wrapper(layers[i])


def apply_compile(model: nn.Module, **options) -> None:
    """Compiles each layer: what is compiled for one serves all that are alike."""
    for layers, i in layers_of(model):
        layers[i].compile(fullgraph=True, **options)


def apply_fsdp(
    model: nn.Module,
    mesh: DeviceMesh,
    param_dtype: torch.dtype | None = None,
    reduce_dtype: torch.dtype | None = torch.float32,
) -> None:
    """Shards each layer, then what is left. Of two dimensions of a mesh the first replicates."""
    if mesh.device_type == "cpu" and not FSDP_ON_CPU:
        ranks = dist.get_world_size(modc_losses.group)
        raise ValueError(f"FSDP2 needs GPUs: on CPU give --replicate {ranks} or --tensor {ranks} alone")
    policy = MixedPrecisionPolicy(param_dtype=param_dtype, reduce_dtype=reduce_dtype)
    for layers, i in layers_of(model):
        fully_shard(layers[i], mesh=mesh, mp_policy=policy)
        for method in METHODS:
            if hasattr(layers[i], method):
                register_fsdp_forward_method(layers[i], method)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def parallelize(
    model: nn.Module,
    mesh: DeviceMesh,
    recompute: bool = False,
    compiled: bool = False,
    param_dtype: torch.dtype | None = None,
) -> None:
    """All four steps, of a model that may be on the meta device: then `to_empty`, and its weights, come behind."""
    replicate, shard, tensor = (mesh[name].size() for name in (REPLICATE, SHARD, TENSOR))
    modc_losses.copies = tensor
    staged = mesh[PIPELINE].size() > 1
    modc_losses.group = mesh[REPLICATE, SHARD, TENSOR]._flatten("stage").get_group() if staged else None
    if tensor > 1:
        apply_tp(model, mesh[TENSOR])
    if recompute:
        apply_ac(model)
    if compiled:
        apply_compile(model)
    if shard > 1 or (replicate > 1 and tensor > 1):
        apply_fsdp(model, mesh[REPLICATE, SHARD] if replicate > 1 else mesh[SHARD], param_dtype)


def replicated(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """What is called in training: the model, or where only data are shared out, its replica of DDP."""
    replicate, shard, tensor = (mesh[name].size() for name in (REPLICATE, SHARD, TENSOR))
    if replicate == 1 or shard > 1 or tensor > 1:
        return model
    group = mesh[REPLICATE].get_group()
    return DistributedDataParallel(model, process_group=group, gradient_as_bucket_view=True, broadcast_buffers=False)


def data_rank(mesh: DeviceMesh) -> tuple[int, int]:
    """Which share of the data this process reads, and of how many."""
    (_, replicate, shard, _), (_, replicas, shards, _) = mesh.get_coordinate(), mesh.mesh.shape
    return replicate * shards + shard, replicas * shards
