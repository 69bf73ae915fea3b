import { Embedding, Layer, RMSNorm } from "std"

/// A layer that a token skips with some probability in training, more often the deeper it stands.
block Dropped(inner: block, dim: int, rate: float) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    if train and rate > 0.0 {
      stays = those(random_uniform(like: x[..., 0]) >= rate)
      put(x, stays, inner(take(x, stays)))
    } else {
      x + inner(x)
    }
  }
}

/// The loss of one exit, under its own name.
block Exit() {
  forward(logits: f32[B, T, V], targets: u32[B, T], share: f32[]) {
    loss exit = share * cross_entropy(logits, targets)
  }
}

/// LayerSkip (Elhoushi et al. 2024, arXiv 2404.16710): layers are dropped in training, the last ones most, and one
/// head reads after every layer, with a loss for each. Afterwards all tokens leave at layer `exit`: set it, or draft
/// with a small one and verify with all. It drops layers token by token, where the paper does sequence by sequence.
model LayerSkip(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 6, context: int = 256,
  exit: int = depth, dropped: float = 0.2,
) {
  embed: Embedding(vocab, dim)
  // The rate grows as 2^t - 1 over the layers, t from 0 to 1: to four digits 0.6956t + 0.225t² + 0.0794t³.
  layers: [for i in 0..depth:
             Dropped(
               Layer(dim, heads), dim,
               dropped *
                 i /
                 (depth - 1) *
                 (0.6956 + i / (depth - 1) * (0.225 + i / (depth - 1) * 0.0794)),
             )]
  norm:   RMSNorm(dim)
  exits:  [for i in 0..depth: Exit()]

  logits(x: f32[B, T, dim]) -> f32[B, T, vocab] { norm(x) @ transpose(embed.table) }

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for i in 0..exit { x = layers[i](x) }
    logits(x)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    x = embed(tokens)
    for i in 0..depth {
      x = layers[i](x)
      exits[i](logits(x), targets, 2 * (i + 1) / (depth * (depth + 1)))
    }
  }
}
