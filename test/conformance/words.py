"""What check_words.py finds of the plain definitions, with code of a fault put over them."""

import sys
import types
from pathlib import Path

SUITE = Path(__file__).parent.parent.parent / "conformance"
sys.path.insert(0, str(SUITE))
import check_words

sys.path.insert(0, str(SUITE / "words"))
import plain
import torch


def answer(job):
    module = types.ModuleType("faulty")
    vars(module).update(vars(plain), plain=plain, torch=torch)
    exec(job["code"], vars(module))
    return {"findings": check_words.examined(module, job["dtype"])}
