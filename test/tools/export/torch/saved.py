"""Whether torch.export takes the module, and inductor computes a step as eager: answers the largest differences."""

import os
import sys

import torch
import torch.utils.cpp_extension as cpp

FOLDER = sys.argv[1]
sys.path.insert(0, FOLDER)

import model as exported  # noqa: E402


def tokens_of(batch, tokens):
    return torch.randint(0, 64, (batch, tokens), generator=torch.Generator().manual_seed(tokens))


def saved_and_loaded():
    """Of a program that was saved and loaded, at other sizes than it was made of."""
    model = exported.load(FOLDER).eval()
    sizes = {"tokens": {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}}
    program = torch.export.export(
        model, (), {"tokens": tokens_of(2, 40)}, dynamic_shapes=sizes, strict=True
    )
    path = os.path.join(FOLDER, "model.pt2")
    torch.export.save(program, path)
    called = torch.export.load(path).module()
    found = [
        (called(tokens=tokens_of(*size)) - model(tokens=tokens_of(*size))).abs().max().item()
        for size in ((2, 40), (3, 57), (4, 17))
    ]
    return max(found)


def by_inductor():
    """Of the loss and the gradients of a training step as one graph."""
    answers = []
    for compiled in (False, True):
        model = exported.load(FOLDER).train()
        called = torch.compile(model, fullgraph=True) if compiled else model
        loss = sum(called(tokens=tokens_of(2, 48), targets=tokens_of(2, 49)[:, 1:]).values())
        loss.backward()
        answers.append([loss.detach()[None], *(p.grad.flatten() for p in model.parameters())])
    return max(((a - b).norm() / a.norm()).item() for a, b in zip(*answers))


torch.set_num_threads(1)
print(saved_and_loaded())
headers = any(os.path.exists(os.path.join(p, "ATen/ATen.h")) for p in [*cpp.include_paths(), "/usr/include"])
print(by_inductor() if headers else "no headers")
