"""The weights of a base with PEFT's adapters, by the rule of PEFT's documentation: W + lora_alpha / r * B A.

With use_rslora the divisor is the root of r.
"""

import json
import math
import re
import struct
from pathlib import Path

import torch


def tensors(path):
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for key, entry in header.items():
        assert entry["dtype"] == "F32", (key, entry)
        begin, end = (8 + size + at for at in entry["data_offsets"])
        found[key] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(entry["shape"]).double()
    return found


def of(patterns, module, usual):
    """PEFT's choice among patterns of modules: the first that ends the name."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), usual)


def answer(job):
    """Every weight of the adapted modules, by key, as a list."""
    config = json.loads((Path(job["adapter"]) / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["task_type"] == "CAUSAL_LM" and config["bias"] == "none", config
    base, adapter = tensors(job["base"]), tensors(Path(job["adapter"]) / "adapter_model.safetensors")
    merged = {}
    for key, weight in base.items():
        module = key.removesuffix(".weight")
        if not any(module == t or module.endswith(f".{t}") for t in config["target_modules"]):
            continue
        a = adapter.pop(f"base_model.model.{module}.lora_A.weight")
        b = adapter.pop(f"base_model.model.{module}.lora_B.weight")
        rank = of(config["rank_pattern"], module, config["r"])
        assert list(a.shape) == [rank, weight.shape[1]] and list(b.shape) == [weight.shape[0], rank], module
        root = math.sqrt(rank) if config["use_rslora"] else rank
        scale = of(config["alpha_pattern"], module, config["lora_alpha"]) / root
        merged[key] = (weight + scale * b @ a).flatten().tolist()
    assert not adapter, f"no module takes {list(adapter)}"
    return merged
