import { Layer, Linear, RMSNorm } from "std"

/// A layer of p-MoD (Zhang et al. 2024, arXiv 2412.04449): of the vision tokens those that score best go through it,
/// as many as the layer's share of the vision tokens alone; all text goes through it. The gate of a vision token, 1 +
/// 0.2 · tanh of its score, multiplies what the network adds to it, and all of it where it skips.
block Vision(layer: block, dim: int, share: ratio) {
  router: Linear(dim, 1, bias: false)

  /// 1 for the best of these tokens, as many as their share.
  // @allow capacity-rounds-to-zero: a text without an image has no vision tokens at all
  best(s: f32[B, V]) -> f32[B, V] { f32(top(s, floor(share * V)).mask) }

  forward(x: f32[B, T, dim], vision: bool[B, T]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    w     = 1 + 0.2 * tanh(score)
    seen  = those(vision)
    kept  = put(zeros(like: score), seen, best(take(score, seen)))
    stay  = those(not vision or kept > 0.5)
    observe stay
    rows = take(x, stay)
    a    = layer.attn(layer.attn_norm(rows))
    y    = a + layer.mlp(layer.mlp_norm(rows + a)) * take(where(vision, w, 1.0), stay)[..., None]
    put(x * where(stay.mask, 1.0, w)[..., None], stay, y)
  }
}

/// The layers of a multimodal decoder over embedded tokens, of which `vision` says which are an image's. The share
/// falls from layer to layer.
model PModMultimodal(dim: int = 128, heads: int = 4, depth: int = 6, context: int = 512) {
  layers: [for i in 0..depth: Vision(Layer(dim, heads), dim, (depth - i) / depth)]
  norm:   RMSNorm(dim)

  forward(x: f32[B, T <= context, dim], vision: bool[B, T]) -> f32[B, T, dim] {
    for layer in layers { x = layer(x, vision) }
    norm(x)
  }

  objective(x: f32[B, T <= context, dim], vision: bool[B, T], wanted: f32[B, T, dim]) {
    loss distance = mean((forward(x, vision) - wanted) ^ 2)
  }
}
