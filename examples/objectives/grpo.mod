import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// Group relative policy optimization of a routed decoder (Shao et al. 2024, arXiv 2402.03300), without a divergence
/// from a reference. `old` has the log-probability of each target when the text was sampled, `advantage` the text's
/// reward less the mean of its group, over their deviation. Targets of −1 (a prompt) do not count.
model Rewarded(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%, clip: float = 0.2,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T], old: f32[B, T], advantage: f32[B]) {
    counted = f32(targets >= 0)
    ratio = exp(log_probability(forward(tokens), targets) - old * counted)
    a = advantage[:, None]
    gain = min(ratio * a, min(max(ratio, 1 - clip), 1 + clip) * a)
    loss policy = -sum(gain * counted) / max(sum(counted), 1)
  }
}
