import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A decoder, dense or with every second layer routed.
block Decoder(vocab: int, dim: int, heads: int, depth: int, capacity: ratio, routed: bool) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if routed and i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
}

/// Distillation of a dense teacher into a routed student (Hinton et al. 2015, arXiv 1503.02531): the Kullback-Leibler
/// divergence of the teacher's distribution from the student's, both at a temperature, times its square, and the
/// cross-entropy. The teacher gets no gradient: train with `--only student`. Targets of −1 do not count.
model Distillation(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%, temperature: float = 2.0, share: float = 0.9,
) {
  teacher: Decoder(vocab, dim, heads, depth, capacity, routed: false)
  student: Decoder(vocab, dim, heads, depth, capacity, routed: true)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] { student(tokens) }

  /// log softmax over the last axis.
  logs(x: f32[B, T, V]) -> f32[B, T, V] {
    y = x - stop_gradient(max(x, axis: -1))[..., None]
    y - log(sum(exp(y), axis: -1))[..., None]
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    logits     = student(tokens)
    given      = logs(stop_gradient(teacher(tokens)) / temperature)
    divergence = sum(exp(given) * (given - logs(logits / temperature)), axis: -1)
    counted    = f32(targets >= 0)
    loss teacher = share * temperature ^ 2 * sum(divergence * counted) / max(sum(counted), 1)
    loss next_token = (1 - share) * cross_entropy(logits, targets)
  }
}
