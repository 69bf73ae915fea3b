/// Root mean square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467): x / √(mean(x²) + eps) · weight.
block RMSNorm(
  /// Width of the last axis, which is normalised.
  dim: int,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-5,
) {
  weight weight: f32[dim] = ones

  forward(x: f32[..., dim]) -> f32[..., dim] {
    x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + eps) * weight
  }
}

/// Layer normalisation (Ba et al. 2016, arXiv 1607.06450): (x − mean(x)) / √(var(x) + eps) · weight + bias, as PyTorch's.
block LayerNorm(
  /// Width of the last axis, which is normalised.
  dim: int,
  /// Added to the variance, against division by zero.
  eps: float = 1e-5,
  /// Whether a bias is added.
  bias: bool = true,
) {
  weight weight: f32[dim] = ones
  if bias {
    weight bias: f32[dim] = zeros

    forward(x: f32[..., dim]) -> f32[..., dim] { scaled(x) + bias }
  } else {
    forward(x: f32[..., dim]) -> f32[..., dim] { scaled(x) }
  }

  /// Without the bias.
  scaled(x: f32[..., dim]) -> f32[..., dim] {
    centred = x - mean(x, axis: -1, keep: true)
    centred * rsqrt(var(x, axis: -1, keep: true) + eps) * weight
  }
}
