"""The library's recurrent blocks as loops over tokens in plain PyTorch, 64-bit floats, with the gradients of a loss.

Written after the published modules: transformers' Mamba2Mixer, Qwen3NextGatedDeltaNet and RecurrentGemmaRglru,
flash-linear-attention's KimiDeltaAttention and RWKV7Attention. Each function gets the rows that a block reads and their
positions in the text, and returns the block's update.
"""

import torch
import torch.nn.functional as F


def linear(x, w, name):
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def convolved(x, w, name):
    weight = w[f"{name}.weight"]
    padded = F.pad(x.transpose(1, 2), (weight.shape[-1] - 1, 0))
    return F.conv1d(padded, weight, w.get(f"{name}.bias"), groups=weight.shape[0]).transpose(1, 2)


def by_heads(x, heads):
    return x.unflatten(-1, (heads, -1))


def rms(x, weight, eps):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def shifted(x):
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


def short_conv(x, at, w, _):
    return convolved(x, w, "conv") if "conv.weight" in w else convolved(x, {f"c.{k}": v for k, v in w.items()}, "c")


def mamba2(x, at, w, o):
    heads, head_dim, n, groups = o["heads"], o["head_dim"], o["state_dim"], o["groups"]
    inner = heads * head_dim
    gate, rows, steps = linear(x, w, "in_proj").split([inner, inner + 2 * groups * n, heads], -1)
    values, keys, queries = F.silu(convolved(rows, w, "conv")).split([inner, groups * n, groups * n], -1)
    values = by_heads(values, heads)
    keys = by_heads(keys, groups).repeat_interleave(heads // groups, 2)
    queries = by_heads(queries, groups).repeat_interleave(heads // groups, 2)
    dt = F.softplus(steps + w["dt_bias"])
    decay = torch.exp(-torch.exp(w["a_log"]) * dt)
    state = torch.zeros(x.shape[0], heads, n, head_dim, dtype=x.dtype)
    out = []
    for t in range(x.shape[1]):
        step = keys[:, t, :, :, None] * (dt[:, t, :, None] * values[:, t])[:, :, None]
        state = decay[:, t, :, None, None] * state + step
        out.append((queries[:, t, :, :, None] * state).sum(2) + w["d"][:, None] * values[:, t])
    y = torch.stack(out, 1).flatten(2)
    return linear(rms(y * F.silu(gate), w["norm.weight"], 1e-5), w, "out_proj")


def delta(q, k, v, beta, log_decay, scale):
    """One step a token: the state decays, and what it holds for a key moves towards the key's value."""
    state = torch.zeros(*q[:, 0].shape, v.shape[-1], dtype=q.dtype)
    out = []
    for t in range(q.shape[1]):
        state = state * torch.exp(log_decay[:, t])[..., None]
        held = (state * k[:, t, :, :, None]).sum(2)
        state = state + k[:, t, :, :, None] * (beta[:, t, :, None] * (v[:, t] - held))[:, :, None]
        out.append((state * (q[:, t] * scale)[..., None]).sum(2))
    return torch.stack(out, 1)


def unit(x):
    return x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6)


def gated_delta_net(x, at, w, o):
    heads, head_dim, groups, key_dim = o["heads"], o["head_dim"], o["key_heads"], o["key_dim"]
    shared = heads // groups
    sizes = [key_dim, key_dim, shared * head_dim, shared * head_dim]
    q, k, v, z = by_heads(linear(x, w, "qkvz"), groups).split(sizes, -1)
    b, a = by_heads(linear(x, w, "ba"), groups).split([shared, shared], -1)
    joined = torch.cat([q.flatten(2), k.flatten(2), v.flatten(2)], -1)
    q, k, v = F.silu(convolved(joined, w, "conv")).split([groups * key_dim, groups * key_dim, heads * head_dim], -1)
    q = unit(by_heads(q, groups)).repeat_interleave(shared, 2)
    k = unit(by_heads(k, groups)).repeat_interleave(shared, 2)
    rate = -torch.exp(w["a_log"]) * F.softplus(a.flatten(2) + w["dt_bias"])
    y = delta(q, k, by_heads(v, heads), torch.sigmoid(b.flatten(2)), rate[..., None], key_dim**-0.5)
    y = rms(y, w["norm.weight"], 1e-6) * F.silu(z.reshape(*y.shape))
    return linear(y.flatten(2), w, "out")


def kda(x, at, w, o):
    heads = o["heads"]
    q, k, v = (by_heads(F.silu(convolved(linear(x, w, n), w, f"{n}_conv")), heads) for n in "qkv")
    steps = F.softplus(linear(linear(x, w, "rate_down"), w, "rate_up") + w["dt_bias"])
    rate = -torch.exp(w["a_log"])[:, None] * by_heads(steps, heads)
    y = delta(unit(q), unit(k), v, torch.sigmoid(linear(x, w, "beta")), rate, q.shape[-1] ** -0.5)
    gate = by_heads(linear(linear(x, w, "gate_down"), w, "gate_up"), heads)
    return linear((rms(y, w["norm.weight"], 1e-5) * torch.sigmoid(gate)).flatten(2), w, "o")


def delta_rule(x, at, w, o):
    """The rule itself, on numbers made by one map of the stream."""
    heads, k = o["heads"], o["key_dim"]
    parts = linear(x, w, "map").split([heads * k, heads * k, heads * k, heads, heads], -1)
    q, key, v = (by_heads(p, heads) for p in parts[:3])
    return delta(q, key, v, torch.sigmoid(parts[3]), -F.softplus(parts[4])[..., None], 1.0).flatten(2)


def rwkv7_time(x, at, w, o, values=None):
    size = o["head_dim"]
    heads = x.shape[-1] // size
    step = shifted(x) - x
    xr, xw, xk, xv, xa, xg = (x + step * w[f"x_{n}"] for n in "rwkvag")

    def narrow(y, name, act=lambda z: z):
        return linear(act(linear(y, w, f"{name}.down")), w, f"{name}.up")

    r, k, v = linear(xr, w, "r"), linear(xk, w, "k"), linear(xv, w, "v")
    decay = torch.exp(-0.6065306597126334 * torch.sigmoid(narrow(xw, "w_lora", torch.tanh)))
    if values is not None:
        v = torch.lerp(v, values, torch.sigmoid(narrow(xv, "v_lora")))
    a = torch.sigmoid(narrow(xa, "a_lora"))
    g = narrow(xg, "g_lora", torch.sigmoid)
    kk = F.normalize(by_heads(k * w["k_k"], heads), dim=-1)
    k = k * (1 + (a - 1) * w["k_a"])
    r, decay, k, v, a = (by_heads(y, heads) for y in (r, decay, k, v, a))
    # the state as the paper writes it: rows of values, columns of keys
    state = torch.zeros(x.shape[0], heads, size, size, dtype=x.dtype)
    out = []
    for t in range(x.shape[1]):
        removed = (state @ -kk[:, t, :, :, None]) @ (kk[:, t] * a[:, t])[:, :, None]
        state = state * decay[:, t, :, None] + removed + v[:, t, :, :, None] @ k[:, t, :, None]
        out.append((state @ r[:, t, :, :, None])[..., 0])
    y = torch.stack(out, 1).flatten(2)
    y = F.group_norm(y.flatten(0, 1), heads, w["norm_weight"], w["norm_bias"], size * 1e-5).view(*x.shape)
    y = y + ((r * k * w["r_k"]).sum(-1, keepdim=True) * v).flatten(2)
    return linear(y * g, w, "o")


def rwkv7_channel(x, at, w, _):
    return linear(torch.relu(linear(x + (shifted(x) - x) * w["x_k"], w, "key")).pow(2), w, "value")


class Root(torch.autograd.Function):
    """A square root whose gradient is at most 1000."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sqrt(x)

    @staticmethod
    def backward(ctx, g):
        return g / torch.sqrt(torch.clamp(4 * ctx.saved_tensors[0], min=1e-6))


def rglru(x, at, w, o):
    rows = by_heads(x, o["heads"])

    def gate(name):
        y = torch.einsum("bthi,hij->bthj", rows, w[f"{name}_weight"]) + w[f"{name}_bias"]
        return torch.sigmoid(y).flatten(2)

    log_decay = -8.0 * gate("recurrent_gate") * F.softplus(w["rate"])
    begins = (at == 0)[..., None].to(x.dtype)
    factor = begins + (1 - begins) * Root.apply(1 - torch.exp(2 * log_decay))
    moved, decay = x * gate("input_gate") * factor, torch.exp(log_decay) * (1 - begins)
    state, out = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = decay[:, t] * state + moved[:, t]
        out.append(state)
    return torch.stack(out, 1)


def griffin(x, at, w, o):
    unit_weights = {name.removeprefix("unit."): value for name, value in w.items() if name.startswith("unit.")}
    inside = rglru(convolved(linear(x, w, "in_x"), w, "conv"), at, unit_weights, o)
    return linear(inside * F.gelu(linear(x, w, "in_y"), approximate="tanh"), w, "out")


def answered(job, account):
    """What the account gives for the rows at the given places, put back among zeros, and the loss's gradients."""

    def tensors(table):
        return {n: torch.tensor(data, dtype=torch.float64).reshape(shape) for n, (shape, data) in table.items()}

    weights = {name: value.requires_grad_() for name, value in tensors(job["weights"]).items()}
    inputs = tensors(job["inputs"])
    at = torch.tensor(job["places"])
    taken = [v.gather(1, at[..., None].expand(-1, -1, v.shape[-1])) for v in inputs.values()]
    result = account(taken[0], at, weights, job["options"], *taken[1:])
    y, loss = result if isinstance(result, tuple) else (result, 0)
    (0.01 * (y * y + torch.sin(y)).sum() + loss).backward()
    whole = torch.zeros_like(inputs["x"]).scatter(1, at[..., None].expand_as(y), y.detach())
    gradients = {name: w.grad.flatten().tolist() for name, w in weights.items()}
    return {"output": whole.flatten().tolist(), "gradients": gradients}


def answer(job):
    return answered(job, globals()[job["account"]])
