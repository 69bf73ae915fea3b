import { Linear } from "./linear.mod"

/// Adds nothing: an expert that costs nothing (integrated MoDE; MoE++'s zero expert).
block Nothing() {
  forward(x: f32[...]) -> f32[...] { zeros(like: x) }
}

/// Gives back what it was given: the zero-computation expert of LongCat-Flash.
block Same() {
  forward(x: f32[...]) -> f32[...] { x }
}

/// Mixture of experts (Shazeer et al. 2017, arXiv 1701.06538): each token goes through the `k` experts that its router
/// scores best; returns their gated sum.
block MoE(
  /// What a token may go through; their results are summed.
  experts: [block],
  /// Width of the stream.
  dim: int,
  /// Experts of each token.
  k: int,
  /// What gates are: "softmax" of all logits, of the "chosen" alone, or "sigmoid".
  gate: string = "softmax",
  /// Whether a token's gates are divided by their sum.
  renormalize: bool = false,
  /// What gates are multiplied by.
  scale: float = 1.0,
  /// Whether the router has a bias.
  router_bias: bool = false,
  /// Groups of experts. A token chooses in those whose two best scores sum highest (DeepSeek-V3, arXiv 2412.19437).
  groups: int = 1,
  /// How many groups a token may choose in.
  open: int = groups,
  /// Whether a bias, moved outside the gradient, lifts scores for the choice (Wang et al. 2024, arXiv 2408.15664).
  loss_free: bool = false,
  /// By how much a step moves that bias.
  rate: float = 0.001,
  /// Factor of Switch Transformers' loss of balance (Fedus et al. 2021, arXiv 2101.03961); 0.0 for none.
  balance: float = 0.0,
  /// Factor of the z-loss, which keeps logits small (Zoph et al. 2022, arXiv 2202.08906); 0.0 for none.
  z: float = 0.0,
) {
  router: Linear(dim, len(experts), bias: router_bias)
  if loss_free { state bias: f32[len(experts)] = zeros }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    logits   = router(x)
    score    = if gate == "sigmoid" then sigmoid(logits) else
      if gate == "softmax" then softmax(logits) else
      logits
    order    = if loss_free then score + bias else score
    by_group = rearrange(order, "b t (g e) -> b t g e", g: groups)
    if open != groups {
      worth = sum(take(by_group, top(by_group, 2, axis: -1)), axis: -1)
      opens = top(worth, open, axis: -1).mask[..., None]
      order = rearrange(where(opens, by_group, -1e30), "b t g e -> b t (g e)")
      fits  = top(order[..., 0:open * (len(experts) / groups)], k, axis: -1)  // refuses a larger k, and is not used
    }
    chosen = top(order, k, axis: -1)
    observe chosen
    w = if gate == "chosen" then softmax(take(score, chosen)) else take(score, chosen)
    if renormalize { w = w / (sum(w, axis: -1, keep: true) + 1e-20) }
    if train {
      if balance > 0.0 {
        loss balance = balance *
          len(experts) *
          sum(mean(f32(chosen.mask), axis: [0, 1]) * mean(softmax(logits), axis: [0, 1]))
      }
      if z > 0.0 {
        peak = stop_gradient(max(logits, axis: -1, keep: true))
        loss z = z * mean((log(sum(exp(logits - peak), axis: -1)) + peak[..., 0]) ^ 2)
      }
      if loss_free {
        load = sum(f32(chosen.mask), axis: [0, 1])
        update bias = bias + rate * (f32(load < mean(load)) - f32(load > mean(load)))
      }
    }
    sum(experts[chosen](x) * (scale * w)[..., None], axis: -2)
  }
}

/// A mixture beside a network for every token (DeepSeekMoE, Dai et al. 2024, arXiv 2401.06066). Both return their update.
block SharedMoE(
  /// The mixture.
  moe: block,
  /// What every token goes through.
  shared: block,
  /// Width of the stream.
  dim: int,
  /// Whether the shared network has a gate of its own (Qwen2-MoE).
  gated: bool = false,
) {
  if gated { shared_gate: Linear(dim, 1, bias: false) }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    moe(x) + (if gated then sigmoid(shared_gate(x)) * shared(x) else shared(x))
  }
}

/// Expert Choice (Zhou et al. 2022, arXiv 2202.09368): each expert takes its ceil(share · T) best tokens of a sequence.
/// Not causal. Returns the update of each token, the sum of what the experts that took it make of it.
block ExpertChoice(
  /// What a token may go through.
  experts: [block],
  /// Width of the stream.
  dim: int,
  /// Share of a sequence's tokens that each expert takes.
  share: ratio,
) {
  router: Linear(dim, len(experts), bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    p      = softmax(router(x))
    chosen = top(p, ceil(share * T), axis: 1)
    observe chosen
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
  }
}
