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
