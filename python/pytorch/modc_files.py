"""Weights in files: safetensors, under the keys of the source."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "U32": torch.int32,
}  # fmt: skip


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by key: a header in JSON behind its length, then the values.

    The file is mapped: what nobody reads takes no memory.
    """
    data = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    size = int.from_bytes(bytes(data[:8].tolist()), "little")
    header = json.loads(bytes(data[8 : 8 + size].tolist()))
    header.pop("__metadata__", None)
    tensors = {}
    for key, entry in header.items():
        start, end = (8 + size + at for at in entry["data_offsets"])
        dtype = _DTYPES[entry["dtype"]]
        values = data[start:end] if start % dtype.itemsize == 0 else data[start:end].clone()
        tensors[key] = values.view(dtype).reshape(entry["shape"])
    return tensors


Table = dict[str, "str | list[str]"]


def table_of(folder: str | Path, file: str) -> Table:
    """What parameters are called elsewhere, where not as here; those with all experts: what each expert's own is."""
    path = Path(folder) / file
    return json.loads(path.read_text()) if path.exists() else {}


def keys_of(folder: str | Path) -> Table:
    """The keys of parameters in checkpoints, where these are not their names."""
    return table_of(folder, "keys.json")


def named(stored: dict[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Tensors by the names of parameters; those of experts together, the expert as first dimension."""
    together = {name: keys for name, keys in table.items() if isinstance(keys, list)}
    of_experts = {key for keys in together.values() for key in keys}
    names = {key: name for name, key in table.items() if isinstance(key, str)}
    found = {names.get(key, key): values for key, values in stored.items() if key not in of_experts}
    for name, keys in together.items():
        if missing := [key for key in keys if key not in stored]:
            raise ValueError(f"the weights have no {missing[0]}")
        found[name] = torch.stack([stored[key] for key in keys])
    return found


def keyed(tensors: dict[str, Tensor], table: Table) -> dict[str, Tensor]:
    """The same by what they are called elsewhere: each expert's own."""
    found = {}
    for name, values in tensors.items():
        keys = table.get(name, name)
        found |= dict(zip(keys, values.unbind(0))) if isinstance(keys, list) else {keys: values}
    return found


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The weights of a folder's `model.safetensors` by the names of parameters."""
    path = Path(folder) / "model.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: export with --weights, or copy the weights of a run to it")
    stored = read_safetensors(path)
    return named({key: values.float() for key, values in stored.items()}, keys_of(folder))


def save_weights(model: nn.Module, path: str | Path, folder: str | Path = Path(__file__).parent) -> None:
    """Writes the weights of the folder's module as safetensors under modc's keys: `modc run --weights` reads them."""
    state = {name: values.detach().float().cpu() for name, values in model.state_dict().items()}
    write_safetensors(Path(path), keyed(state, keys_of(folder)))


_NAMES = {torch.float32: "F32", torch.int32: "U32"}


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for key, values in tensors.items():
        size = values.numel() * values.element_size()
        header[key] = {"dtype": _NAMES[values.dtype], "shape": list(values.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            _write(file, values)
        file.flush()
        os.fsync(file.fileno())


def _write(file: BinaryIO, values: Tensor) -> None:
    """The bytes of a tensor, without NumPy, which PyTorch may lack."""
    values = values.contiguous()
    file.write((ctypes.c_char * (values.numel() * values.element_size())).from_address(values.data_ptr()))
