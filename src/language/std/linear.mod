/// A linear map of the last axis: x · weightᵀ + bias.
block Linear(
  /// Width of the input.
  d_in: int,
  /// Width of the result.
  d_out: int,
  /// Whether a bias is added.
  bias: bool = true,
) {
  weight weight: f32[d_out, d_in]
  if bias {
    weight bias: f32[d_out]

    forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(weight) + bias }
  } else {
    forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(weight) }
  }
}

/// A table of vectors: one row for each token of the vocabulary. For learned positions, an embedding of `position(x)`.
block Embedding(
  /// How many tokens there are.
  vocab: int,
  /// Width of a row.
  dim: int,
) {
  weight table: f32[vocab, dim]

  forward(tokens: u32[...]) -> f32[..., dim] { table[tokens] }
}
