import { Embedding, Layer, Linear, Residual, RMSNorm } from "std"

/// A layer whose latest result holds: a token that the router does not choose gets, beside its own row, the update of the
/// token that was chosen last. So H-Net returns from chunks to tokens (arXiv 2507.07955), and a slow clock feeds fast layers.
block Held(inner: block, dim: int, share: ratio) {
  router: Linear(dim, 1)
  mix:    Linear(dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    logit = router(x)[..., 0]
    run   = above(logit, 0.0, expected: share)
    observe run
    y    = inner(take(x, run)) * sigmoid(take(logit, run))[..., None]
    held = scan(put(zeros(like: x), run, y), fresh: run.mask)
    if train { loss share = abs(mean(sigmoid(logit)) - share) }
    x + mix(held)
  }
}

/// A decoder in which every second layer holds.
model Hold(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 4,
  context: int = 256, share: ratio = 25%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then Held(Layer(dim, heads, hidden: hidden), dim, share)
             else Residual(Layer(dim, heads, hidden: hidden))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
