"""What exported folders compute: results, losses, gradients and routes of the module that `load` gives, in 64 bits."""

import functools
import math
import sys

import torch


def opened(folder):
    shared = ("torch", "axes", "entries", "losses", "pairs", "recurrences", "caches", "files")
    for name in ("model", *(f"modc_{part}" for part in shared)):
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    try:
        import model
    finally:
        sys.path.remove(folder)
    return model.load(folder).double()


def tensor(given):
    dtypes = {"f32": torch.float64, "bool": torch.bool}
    values = [math.nan if value is None else value for value in given["data"]]  # JSON has no NaN
    return torch.tensor(values, dtype=dtypes.get(given["dtype"], torch.int64)).reshape(given["shape"])


def answer(job):
    model = opened(job["folder"])
    files = sys.modules["modc_files"]
    paths = files.table_of(job["folder"], "paths.json")
    apart = functools.partial(files.keyed, table=paths)  # each expert's own
    calls = [called(model, call, apart) for call in job["calls"]]
    return {"calls": calls, "keys": sorted(apart(model.state_dict()))}


def called(model, call, apart):
    model.train(call["training"])
    model.zero_grad()
    observed = {}
    lengths = call["lengths"]
    if isinstance(lengths, dict):
        lengths = {name: torch.tensor(own) for name, own in lengths.items()}
    elif lengths is not None:
        lengths = torch.tensor(lengths)
    inputs = {name: tensor(x) for name, x in call["inputs"].items()}
    results = model(**inputs, lengths=lengths, causal=call["causal"], observed=observed, **live_of(call))
    if not isinstance(results, dict):
        results = {"output": results}
    gradients, states = {}, {}
    if call["training"]:
        sum(results.values()).backward()
        parameters = model.named_parameters()
        all_gradients = {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in parameters}
        gradients = {key: gradient.flatten().tolist() for key, gradient in apart(all_gradients).items()}
        if hasattr(model, "update_states"):
            states = moved(model)
    return {
        "stepped": stepped(model, inputs, lengths, live_of(call), call["grown"]) if steps(model, call) else None,
        "results": {name: x.flatten().tolist() for name, x in results.items()},
        "gradients": gradients,
        "states": states,
        "routes": {path: rows(route) for path, route in observed.items() if hasattr(route, "axis")},
        "choices": {
            path: values.tolist() for path, values in observed.items() if getattr(values, "dtype", None) == torch.int64
        },
    }


def moved(model):
    """States after the step; they are what they were for what is called next."""
    before = {name: values.clone() for name, values in model.state_dict().items()}
    model.update_states()
    kept = {name for name, _ in model.named_parameters()}
    states = {name: values.flatten().tolist() for name, values in model.state_dict().items() if name not in kept}
    model.load_state_dict(before)
    return states


def live_of(call):
    return {"live": call["live"]} if call.get("live") else {}


def steps(model, call):
    return hasattr(model, "step") and call["causal"] and not call["objective"]


def stepped(model, inputs, lengths, live, grown):
    """The same result from a prompt and single tokens behind it, with caches; and how many tokens each of these keeps.

    grown: the inputs along the tokens, and the name of their axis; others are given in each call.
    """
    caches, parts = model_caches(), []
    x = inputs[grown["inputs"][0]]
    by_axis, lengths = (lengths, lengths.get(grown["axis"])) if isinstance(lengths, dict) else (None, lengths)
    tokens = x.shape[1]
    whole = torch.full((x.shape[0],), tokens) if lengths is None else lengths
    for start, end in [(0, 5), *((at, at + 1) for at in range(5, tokens))]:
        given = {name: x[:, start:end] if name in grown["inputs"] else x for name, x in inputs.items()}
        new = None if lengths is None else (whole - start).clamp(0, end - start)
        if by_axis is not None:
            new = {**by_axis, **({} if new is None else {grown["axis"]: new})}
        made = model(**given, causal=True, caches=caches, lengths=new, **live)
        parts.append(made if isinstance(made, dict) else {"output": made})
    results = {name: torch.cat([part[name] for part in parts], 1).flatten().tolist() for name in parts[0]}
    return {"results": results, "counts": caches.counts}


def model_caches():
    return sys.modules["modc_caches"].Caches()


def rows(route):
    valid = route.axis.valid
    if valid is None:
        return route.index.tolist()
    return [index[exists].tolist() for index, exists in zip(route.index, valid)]
