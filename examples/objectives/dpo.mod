import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// Direct preference optimization of a routed decoder (Rafailov et al. 2023, arXiv 2305.18290): the policy prefers the
/// chosen text more than the reference does. `reference_*` are log-probabilities of whole texts under the reference;
/// targets of −1 (a prompt) do not count. The two texts lie along axes of their own, so that each has its own length
/// and a router chooses among its tokens alone.
model Preferences(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%, beta: float = 0.1,
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

  objective(
    chosen: u32[B, T <= context], chosen_targets: i32[B, T], reference_chosen: f32[B],
    rejected: u32[B, S <= context], rejected_targets: i32[B, S], reference_rejected: f32[B],
  ) {
    better = sum(log_probability(forward(chosen), chosen_targets), axis: 1) - reference_chosen
    worse  = sum(log_probability(forward(rejected), rejected_targets), axis: 1) - reference_rejected
    margin = beta * (better - worse)
    observe margin
    loss preference = mean(softplus(-margin))
  }
}
