import { Linear } from "./linear.mod"

/// A small network that guesses, from a token alone, what needs the whole sequence to know. It runs for every token.
block Predictor(
  /// Width of the stream.
  dim: int,
  /// Width inside.
  hidden: int = max(ceil(dim / 16), 8),
) {
  up:   Linear(dim, hidden)
  down: Linear(hidden, 1)

  forward(x: f32[..., dim]) -> f32[..., 1] { down(silu(up(x))) }
}

/// Mixture-of-Depths (Raposo et al. 2024, arXiv 2404.02258), equation 1.
/// The ceil(capacity·T) best-scoring tokens of each sequence go through `inner`; every other token skips it.
/// `inner` returns its update only, without a residual of its own.
/// Top-k looks at the whole sequence, so when generating, `guess` predicts its choice from the token alone.
block MoD(
  /// What the chosen tokens go through; returns its update.
  inner: block,
  /// Width of the stream.
  dim: int,
  /// Share of the tokens that are chosen.
  capacity: ratio = 12.5%,
  /// What the update is multiplied by: the score itself ("raw"), its "sigmoid", or "identity" at first, 1 + 0.2 · tanh.
  gate: string = "raw",
) {
  router: Linear(dim, 1, bias: false)
  guess:  Predictor(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]                                        // f32[B, T]
    likely = guess(stop_gradient(x))[..., 0]                          // f32[B, T]
    chosen = if generate then above(likely, 0.0, expected: capacity) else
      top(score, ceil(capacity * T))
    if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
    observe chosen
    r = take(score, chosen)[..., None]
    w = if gate == "sigmoid" then sigmoid(r) else
      if gate == "identity" then 1 + 0.2 * tanh(r) else
      r
    put(x, chosen, inner(take(x, chosen)) * w)
  }
}

/// `MoD` for blocks that read more than the stream: the tokens of `beside` are taken with those of x.
block MoDWith(
  /// What the chosen tokens go through, with theirs of `beside`; returns its update.
  inner: block,
  /// Width of the stream.
  dim: int,
  /// Width of `beside`.
  width: int,
  /// Share of the tokens that are chosen.
  capacity: ratio = 12.5%,
  /// What the update is multiplied by: the score itself ("raw"), its "sigmoid", or "identity" at first, 1 + 0.2 · tanh.
  gate: string = "raw",
) {
  router: Linear(dim, 1, bias: false)
  guess:  Predictor(dim)

  forward(x: f32[B, T, dim], beside: f32[B, T, width]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]                                        // f32[B, T]
    likely = guess(stop_gradient(x))[..., 0]                          // f32[B, T]
    chosen = if generate then above(likely, 0.0, expected: capacity) else
      top(score, ceil(capacity * T))
    if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
    observe chosen
    r = take(score, chosen)[..., None]
    w = if gate == "sigmoid" then sigmoid(r) else
      if gate == "identity" then 1 + 0.2 * tanh(r) else
      r
    put(x, chosen, inner(take(x, chosen), take(beside, chosen)) * w)
  }
}
