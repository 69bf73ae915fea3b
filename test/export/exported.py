"""What exported folders compute: results, losses, gradients and routes of the module that `load` gives, in 64 bits."""

import sys

import torch


def opened(folder):
    for name in ("model", "modc_torch", "modc_caches", "modc_files"):
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
    results = model(**inputs, lengths=lengths, causal=call["causal"], observed=observed, **live_of(call))
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
        "stepped": stepped(model, inputs, lengths, live_of(call)) if call["causal"] and not call["objective"] else None,
        "results": {name: x.flatten().tolist() for name, x in results.items()},
        "gradients": gradients,
        "routes": {path: rows(route) for path, route in observed.items() if hasattr(route, "axis")},
    }


def live_of(call):
    return {"live": call["live"]} if call.get("live") else {}


def stepped(model, inputs, lengths, live):
    """The same result from a prompt and single tokens behind it, with caches; and how many tokens each of these keeps."""
    caches, parts = model_caches(), []
    x = next(iter(inputs.values()))
    tokens = x.shape[1]
    whole = torch.full((x.shape[0],), tokens) if lengths is None else lengths
    for start, end in [(0, 5), *((at, at + 1) for at in range(5, tokens))]:
        given = {name: x[:, start:end] for name, x in inputs.items()}
        new = None if lengths is None else (whole - start).clamp(0, end - start)
        parts.append(model(**given, causal=True, caches=caches, lengths=new, **live))
    return {"output": torch.cat(parts, 1).flatten().tolist(), "counts": caches.counts}


def model_caches():
    return sys.modules["modc_caches"].Caches()


def rows(route):
    valid = route.axis.valid
    if valid is None:
        return route.index.tolist()
    return [index[exists].tolist() for index, exists in zip(route.index, valid)]
