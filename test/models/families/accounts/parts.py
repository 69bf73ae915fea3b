"""What the accounts of several families share: norms, rotations, causal attention."""

import math

import torch
import torch.nn.functional as F


def rms_norm(x, weight, eps):
    y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def layer_norm(x, weight, bias, eps):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def linear(w, key, x):
    """A linear map [out, in] of the weights w, with its bias if there is one."""
    return F.linear(x, w[f"{key}.weight"], w.get(f"{key}.bias"))


def angles(tokens, width, theta, scale=1.0):
    """Radians of each position and pair: [tokens, width / 2]."""
    steps = torch.arange(0, width, 2, dtype=torch.float64) / width
    return torch.arange(tokens, dtype=torch.float64)[:, None] * (theta**-steps) * scale


def turned(tokens, frequencies):
    """Radians of each position and pair, for radians a position: [tokens, pairs]."""
    return torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies


def yarn(width, theta, scaling):
    """Radians a position of each pair, and the factor on cosine and sine (arXiv 2309.00071)."""
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]
    plain = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    pair_of = lambda turns: width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low = max(math.floor(pair_of(scaling.get("beta_fast", 32))), 0)
    high = min(math.ceil(pair_of(scaling.get("beta_slow", 1))), width - 1)
    kept = 1 - ((torch.arange(width // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain / factor * (1 - kept) + plain * kept, scaling.get("attention_factor") or 0.1 * math.log(factor) + 1


def rotate_halves(x, angle):
    """Rotates column j with column j + width / 2 of all columns of x[..., tokens, width]."""
    a, b = x.chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rotate_neighbours(x, angle):
    """Rotates column 2j with column 2j + 1."""
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def rotate_first(x, angle, rotate=rotate_halves):
    """Rotates the first 2 * angle.shape[-1] columns."""
    width = 2 * angle.shape[-1]
    return torch.cat([rotate(x[..., :width], angle), x[..., width:]], -1)


def heads(x, count):
    """[B, T, count * width] to [B, count, T, width]."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def seen(tokens, window=None, chunk=None):
    """Which keys each query sees, [T, T]; a window includes the query itself."""
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)
    mask = distance >= 0
    if window:
        mask &= distance < window
    if chunk:
        mask &= torch.arange(tokens)[:, None] // chunk == torch.arange(tokens) // chunk
    return mask


def attend(q, k, v, scale=None, window=None, chunk=None, cap=None, bias=None, sinks=None):
    """Causal attention of heads [B, H, T, width], in groups; [B, T, H * width]. `sinks`: a further logit of each head."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    if bias is not None:
        scores = scores + bias
    scores = scores.masked_fill(~seen(q.shape[2], window, chunk), -math.inf)
    if sinks is not None:
        column = sinks[None, :, None, None].expand(scores.shape[0], -1, scores.shape[2], 1)
        shares = torch.cat([scores, column], -1).softmax(-1)[..., :-1]
    else:
        shares = scores.softmax(-1)
    return (shares @ v).transpose(1, 2).flatten(2)


def short_conv(x, weight, bias=None):
    """A causal convolution of each channel of x[B, T, channels]; the weight is stored as by Conv1d."""
    width = weight.shape[-1]
    return F.conv1d(F.pad(x.transpose(1, 2), (width - 1, 0)), weight, bias, groups=weight.shape[0]).transpose(1, 2)


def mamba2(c, w, p, x, eps):
    """Mamba-2 (transformers' Mamba2Mixer and BambaMixer) step by step. `c`: heads, head_dim, state, groups."""
    heads_, width, state, groups = c["heads"], c["head_dim"], c["state"], c["groups"]
    inner = heads_ * width
    gate, rows, dt = linear(w, f"{p}.in_proj", x).split([inner, inner + 2 * groups * state, heads_], -1)
    rows = F.silu(short_conv(rows, w[f"{p}.conv1d.weight"], w.get(f"{p}.conv1d.bias")))
    values, keys, queries = rows.split([inner, groups * state, groups * state], -1)
    values = values.unflatten(-1, (heads_, width))
    keys, queries = [y.unflatten(-1, (groups, state)).repeat_interleave(heads_ // groups, 2) for y in (keys, queries)]
    dt = F.softplus(dt + w[f"{p}.dt_bias"])
    decay = (-w[f"{p}.A_log"].exp() * dt).exp()
    held, found = x.new_zeros(x.shape[0], heads_, width, state), []
    for t in range(x.shape[1]):
        added = (dt[:, t, :, None] * values[:, t])[..., None] * keys[:, t, :, None]
        held = decay[:, t, :, None, None] * held + added
        found.append((held * queries[:, t, :, None]).sum(-1) + w[f"{p}.D"][:, None] * values[:, t])
    y = torch.stack(found, 1).flatten(2) * F.silu(gate)
    return linear(w, f"{p}.out_proj", rms_norm(y, w[f"{p}.norm.weight"], eps))


def mamba2_shapes(c, p, dim, bias, conv_bias):
    """The weights of `mamba2`; `c` has the width of the convolution too."""
    inner, mixed = c["heads"] * c["head_dim"], c["heads"] * c["head_dim"] + 2 * c["groups"] * c["state"]
    found = {
        f"{p}.in_proj.weight": [inner + mixed + c["heads"], dim],
        f"{p}.conv1d.weight": [mixed, 1, c["width"]],
        f"{p}.norm.weight": [inner],
        f"{p}.out_proj.weight": [dim, inner],
    }
    found |= {f"{p}.{n}": [c["heads"]] for n in ("dt_bias", "A_log", "D")}
    if bias:
        found |= {f"{p}.in_proj.bias": [inner + mixed + c["heads"]], f"{p}.out_proj.bias": [dim]}
    return found | ({f"{p}.conv1d.bias": [mixed]} if conv_bias else {})
