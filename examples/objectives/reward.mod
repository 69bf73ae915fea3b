import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A reward model on a routed decoder (Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155): the score of the
/// last token, whose difference is the log-odds that the first text is preferred. Each text has an axis of its own, so
/// that the last token is its own.
model Reward(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)
  weight head: f32[dim] = normal(0.02)

  forward(tokens: u32[B, T <= context]) -> reward: f32[B, T] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    sum(norm(x) * head, axis: -1)
  }

  objective(chosen: u32[B, T <= context], rejected: u32[B, S <= context]) {
    better = forward(chosen)[:, -1]
    worse  = forward(rejected)[:, -1]
    margin = better - worse
    observe margin
    loss preference = mean(softplus(-margin))
  }
}
