"""The models of pytorch.py with the operands of products rounded to bf16 or f16, forward and backward.

Sums and everything else are 64-bit floats. `answer` has the results of a case, whose field `products` names the type.
The loss is multiplied by `scale`, as torch.amp.GradScaler does it: a step with an infinite gradient updates nothing and
halves the scale, `grows_after` steps without one double it; `good` steps of them are done.
"""

import importlib.util
import pathlib

import torch
from torch.overrides import TorchFunctionMode

path = pathlib.Path(__file__).with_name("pytorch.py")
spec = importlib.util.spec_from_file_location("models_of_pytorch", path)
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)

TYPES = {"bf16": (torch.bfloat16, 45), "f16": (torch.float16, 42)}


def nearest(x, to):
    """The nearest values of the type. `x.to(type)` goes through f32, which rounds twice."""
    dtype, lost = TYPES[to]
    bits = x.contiguous().view(torch.int64)
    even = (bits >> lost) & 1
    y = ((bits + (1 << (lost - 1)) - 1 + even) & ~((1 << lost) - 1)).view(torch.float64)
    if to == "f16":
        y = torch.where(x.abs() < 2.0**-14, torch.round(x * 2.0**24) * 2.0**-24, y)
    return torch.where(y.abs() > torch.finfo(dtype).max, torch.sign(y) * torch.inf, y)


def check(to):
    """For numbers of f32 it is PyTorch's own cast."""
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(1)) * 10.0 ** torch.arange(-6, 4).repeat(1000)
    x = x.float().double()
    assert torch.equal(nearest(x, to), x.to(TYPES[to][0]).double()), to


class Product(torch.autograd.Function):
    """a[…, M, K] @ b[K, N]"""

    @staticmethod
    def forward(ctx, a, b, to):
        a, b = nearest(a, to), nearest(b, to)
        ctx.save_for_backward(a, b)
        ctx.to = to
        return a @ b

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.saved_tensors
        dy = nearest(dy, ctx.to)
        return dy @ b.T, a.flatten(0, -2).T @ dy.flatten(0, -2), None


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, to):
        return nearest(x, to)

    @staticmethod
    def backward(ctx, dy):
        return dy, None


class RoundedCotangent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, to):
        ctx.to = to
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        return nearest(dy, ctx.to), None


class Rounding(TorchFunctionMode):
    def __init__(self, to):
        super().__init__()
        self.to = to

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") not in ("matmul", "__matmul__"):
            return func(*args, **(kwargs or {}))
        a, b = args
        if b.dim() == 2:
            # A product of one column is a sum.
            return a @ b if b.shape[1] == 1 else Product.apply(a, b, self.to)
        if a.shape[-2] == b.shape[-1]:  # scores of attention
            return Rounded.apply(a, self.to) @ Rounded.apply(b, self.to)
        return RoundedCotangent.apply(a @ Rounded.apply(b, self.to), self.to)  # its shares are not rounded


def loss_of(case, weights):
    with Rounding(case["products"]):
        return models.loss_of(case, weights)


def answer(case):
    check(case["products"])
    weights = {path: torch.tensor(w["data"]).view(w["shape"]).requires_grad_() for path, w in case["weights"].items()}
    ((optimizer, _),) = models.optimizers_of(case, weights)
    scale, good, losses, scales = case["scale"], case["good"], [], []
    for rate in case["rates"]:
        optimizer.zero_grad()
        loss = loss_of(case, weights)
        (loss * scale).backward()
        losses.append(loss.item())
        if all(w.grad.isfinite().all() for w in weights.values()):
            for w in weights.values():
                w.grad /= scale
            torch.nn.utils.clip_grad_norm_(weights.values(), case["clip"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            good += 1
            if good == case["grows_after"]:
                scale, good = 2 * scale, 0
        else:
            scale, good = scale / 2, 0
        scales.append(scale)
    found = {path: w.detach().flatten().tolist() for path, w in weights.items()}
    return {"losses": losses, "scales": scales, "weights": found}
