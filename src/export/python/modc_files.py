"""Weights in files: safetensors, under the keys of the source."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

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


def keys_of(folder: str | Path) -> dict[str, str]:
    """The keys of parameters in checkpoints, where these are not their names."""
    path = Path(folder) / "keys.json"
    return json.loads(path.read_text()) if path.exists() else {}


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The weights of a folder's `model.safetensors` by the names of parameters."""
    names = {key: name for name, key in keys_of(folder).items()}
    stored = read_safetensors(Path(folder) / "model.safetensors")
    return {names.get(key, key): values.float() for key, values in stored.items()}


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
