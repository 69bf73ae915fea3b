/// A picture as tokens (Dosovitskiy et al. 2020, arXiv 2010.11929): a linear map of each square of pixels, as a convolution
/// whose stride is its kernel's size. The tokens are a sequence of their own, row by row from the top left.
block PatchEmbed(
  /// Height and width of the picture, in pixels; a multiple of `patch`.
  size: int,
  /// Height and width of a square.
  patch: int,
  /// Width of a token.
  dim: int,
  /// Numbers of a pixel.
  channels: int = 3,
  /// Whether a bias is added.
  bias: bool = true,
) {
  weight weight: f32[dim, channels, patch, patch]
  if bias {
    weight bias: f32[dim] = zeros

    forward(image: f32[B, channels, size, size]) -> f32[B, N, dim] {
      sequence(mapped(image) + bias)
    }
  } else {
    forward(image: f32[B, channels, size, size]) -> f32[B, N, dim] { sequence(mapped(image)) }
  }

  /// Without the bias, and as a fixed axis.
  mapped(image: f32[B, channels, size, size]) -> f32[B, (size / patch) ^ 2, dim] {
    pixels = rearrange(image, "b c (h p) (w q) -> b (h w) (c p q)", p: patch, q: patch)
    pixels @ transpose(rearrange(weight, "d c p q -> d (c p q)"))
  }
}

/// Numbers such as positions or times as sines and cosines of the frequencies theta^(−2i / dim), for i from 0 to dim / 2
/// (Vaswani et al. 2017, arXiv 1706.03762, section 3.5). Of tokens: `f32(position(x))`.
block Sinusoids(
  /// Width of the result; even.
  dim: int,
  /// The longest wavelength is below 2π · theta.
  theta: float = 10000.0,
  /// The paper's "pairs", each sine before its cosine; all sines, then all cosines: "sin"; cosines first: "cos", as for times
  /// in diffusion.
  order: string = "pairs",
) {
  forward(x: f32[...]) -> f32[..., dim] {
    frequencies = exp(log(tensor([theta])) * tensor([for i in 0..dim / 2: -2.0 * i / dim]))
    angles      = x[..., None] * frequencies
    if order == "pairs" then rearrange(
      concat([sin(angles)[..., None], cos(angles)[..., None]], axis: -1), "... d s -> ... (d s)",
    ) else
      if order == "sin" then concat([sin(angles), cos(angles)], axis: -1) else
      concat([cos(angles), sin(angles)], axis: -1)
  }
}

/// Layer normalisation whose scale and shift are of a condition, and a gate of the update, all zeros at first
/// (adaLN-Zero; Peebles and Xie 2022, arXiv 2212.09748). Returns its update: gate · inner(norm(x) · (1 + scale) + shift).
block AdaLN(
  /// Tokens to tokens, such as attention or a network on each token; returns its update.
  inner: block,
  /// Width of the stream.
  dim: int,
  /// Width of the condition.
  width: int = dim,
  /// Added to the variance, against division by zero.
  eps: float = 1e-6,
) {
  /// Rows of the shift, then of the scale, then of the gate.
  weight weight: f32[3 * dim, width] = zeros
  weight bias:   f32[3 * dim] = zeros

  forward(x: f32[B, T, dim], condition: f32[B, width]) -> f32[B, T, dim] {
    parts   = split(silu(condition) @ transpose(weight) + bias, [dim, dim, dim], axis: -1)
    centred = x - mean(x, axis: -1, keep: true)
    normal  = centred * rsqrt(var(x, axis: -1, keep: true) + eps)
    parts[2][:, None] * inner(normal * (1 + parts[1][:, None]) + parts[0][:, None])
  }
}
