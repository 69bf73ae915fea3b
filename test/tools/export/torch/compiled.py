"""Whether training compiles as whole graphs: answers differences from eager, and how many graphs serve all lengths."""

import sys

import torch
import torch._dynamo as dynamo
from torch._dynamo.testing import CompileCounterWithBackend

FOLDER = sys.argv[1]
sys.path.insert(0, FOLDER)

import model as exported  # noqa: E402
from parallelize import apply_ac, apply_compile  # noqa: E402


def batch_of(tokens, ragged):
    draw = torch.Generator().manual_seed(tokens)
    rows = {
        "tokens": torch.stack([torch.randperm(64, generator=draw)[:tokens] for _ in range(2)]),
        "targets": torch.randint(0, 64, (2, tokens), generator=draw),
    }
    return rows | ({"lengths": torch.randint(1, tokens + 1, (2,), generator=draw)} if ragged else {})


def gradients(model, called, batch):
    model.zero_grad()
    loss = sum(called(**batch).values())
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


def difference(way, ragged):
    dynamo.reset()
    model, eager = exported.load(FOLDER).train(), exported.load(FOLDER).train()
    counted = CompileCounterWithBackend("aot_eager")
    called = model
    if way == "whole":
        called = torch.compile(model, fullgraph=True, dynamic=True, backend=counted)
    else:
        if way == "recomputed layers":
            apply_ac(model)
        apply_compile(model, dynamic=True, backend=counted)
    worst = 0.0
    for tokens in (48, 33, 24):
        batch = batch_of(tokens, ragged)
        (loss, gradient), (wanted, due) = gradients(model, called, batch), gradients(eager, eager, batch)
        worst = max(worst, abs(loss - wanted), ((gradient - due).norm() / due.norm()).item())
    print(f"{way}{' ragged' if ragged else ''}: {counted.frame_count} graphs, {'same' if worst < 1e-5 else worst}")


torch.set_num_threads(1)
for way, ragged in (("whole", True), ("layers", False), ("recomputed layers", False)):
    difference(way, ragged)
