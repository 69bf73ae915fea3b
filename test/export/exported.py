"""What exported folders compute: results, losses, gradients and routes of the module that `load` gives, in 64 bits."""

import sys

import torch


def opened(folder):
    for name in ("model", "modc_torch"):
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    try:
        import model
    finally:
        sys.path.remove(folder)
    return model.load(folder).double()


def tensor(given):
    dtype = torch.float64 if given["float"] else torch.int64
    return torch.tensor(given["data"], dtype=dtype).reshape(given["shape"])


def answer(job):
    model = opened(job["folder"])
    return {"calls": [called(model, call) for call in job["calls"]], "keys": sorted(model.state_dict())}


def called(model, call):
    model.train(call["training"])
    model.zero_grad()
    observed = {}
    lengths = None if call["lengths"] is None else torch.tensor(call["lengths"])
    inputs = {name: tensor(x) for name, x in call["inputs"].items()}
    results = model(**inputs, lengths=lengths, causal=call["causal"], observed=observed)
    if not isinstance(results, dict):
        results = {"output": results}
    gradients = {}
    if call["training"]:
        sum(results.values()).backward()
        gradients = {
            key: (torch.zeros_like(p) if p.grad is None else p.grad).flatten().tolist()
            for key, p in model.named_parameters()
        }
    return {
        "results": {name: x.flatten().tolist() for name, x in results.items()},
        "gradients": gradients,
        "routes": {path: rows(route) for path, route in observed.items()},
    }


def rows(route):
    valid = route.axis.valid
    if valid is None:
        return route.index.tolist()
    return [index[exists].tolist() for index, exists in zip(route.index, valid)]
