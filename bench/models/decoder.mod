import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A byte-level decoder with GELU networks and a tied embedding. `routed`: every second layer is a Mixture-of-Depths layer.
model Decoder(
  vocab: int = 256, dim: int = 256, heads: int = 4, depth: int = 4, context: int = 256,
  routed: bool = false, capacity: ratio = 12.5%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if routed and i % 2 == 1 then MoD(Layer(dim, heads, mlp: "gelu"), dim, capacity)
             else Residual(Layer(dim, heads, mlp: "gelu"))]
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
