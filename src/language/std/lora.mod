/// A linear map of the last axis with an adapter of low rank (Hu et al. 2021, arXiv 2106.09685):
/// x · weightᵀ + alpha / rank · (x · aᵀ) · bᵀ + bias. It has the weights of `Linear`, and those of `lora` beside them: b
/// starts as zeros, so that a trained map starts as it is. `modc train --only lora` trains the adapters alone, and
/// `modc merge --fold` adds them to the weights.
block LoRA(
  /// Width of the input.
  d_in: int,
  /// Width of the result.
  d_out: int,
  /// Rank of the adapter.
  rank: int = 8,
  /// The adapter counts alpha / rank.
  alpha: float = 16.0,
  /// Whether a bias is added.
  bias: bool = false,
) {
  weight weight: f32[d_out, d_in]
  lora: LowRank(d_in, d_out, rank)
  if bias {
    weight bias: f32[d_out]

    forward(x: f32[..., d_in]) -> f32[..., d_out] {
      x @ transpose(weight) + alpha / rank * lora(x) + bias
    }
  } else {
    forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(weight) + alpha / rank * lora(x) }
  }
}

/// A linear map of the last axis as a product of two of low rank, zero at the start: (x · aᵀ) · bᵀ.
block LowRank(
  /// Width of the input.
  d_in: int,
  /// Width of the result.
  d_out: int,
  /// Width between the two.
  rank: int,
) {
  weight a: f32[rank, d_in]
  weight b: f32[d_out, rank] = zeros

  forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(a) @ transpose(b) }
}
