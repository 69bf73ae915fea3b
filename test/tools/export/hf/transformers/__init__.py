"""A stand-in for Hugging Face's transformers where there are none: what exported folders import, and how it calls them.

It loads a folder's code and weights and generates greedily, by the methods that transformers call; nothing else.
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch

from .configuration_utils import PretrainedConfig
from .generation import GenerationMixin

_DTYPES = {"F32": torch.float32, "F16": torch.float16}


class PreTrainedModel(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def post_init(self):
        for module in self.modules():
            self._init_weights(module)

    @classmethod
    def register_for_auto_class(cls, auto_class):
        cls._auto_class = auto_class


class AutoModelForCausalLM:
    @staticmethod
    def from_pretrained(folder, trust_remote_code):
        folder = Path(folder)
        settings = json.loads((folder / "config.json").read_text())
        config = _class(folder, settings["auto_map"]["AutoConfig"])(**settings)
        model = _class(folder, settings["auto_map"]["AutoModelForCausalLM"])(config)
        model.load_state_dict(_weights(folder / "model.safetensors"))
        return model.eval()


def _class(folder, name):
    """The class of a module of the folder, which is a package."""
    package = f"folder_{abs(hash(str(folder)))}"
    if package not in sys.modules:
        spec = importlib.util.spec_from_loader(package, None, is_package=True)
        sys.modules[package] = importlib.util.module_from_spec(spec)
        sys.modules[package].__path__ = [str(folder)]
    module, own = name.split(".")
    return getattr(importlib.import_module(f"{package}.{module}"), own)


def _weights(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    values = torch.frombuffer(bytearray(data[8 + size :]), dtype=torch.uint8)
    return {
        key: values[slice(*entry["data_offsets"])].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for key, entry in header.items()
    }
