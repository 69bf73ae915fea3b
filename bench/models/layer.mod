import { Embedding, Layer, MoD, Residual } from "std"

/// One layer that guesses the embedding of the token that follows, and nothing else: what a layer by itself costs in training, its input's gradient included.
model OneLayer(
  vocab: int = 256, dim: int = 512, heads: int = 8, context: int = 1024, routed: bool = false,
  capacity: ratio = 12.5%,
) {
  embed: Embedding(vocab, dim)
  if routed {
    layer: MoD(Layer(dim, heads, mlp: "gelu"), dim, capacity)
  } else {
    layer: Residual(Layer(dim, heads, mlp: "gelu"))
  }

  forward(tokens: u32[B, T <= context]) -> f32[B, T, dim] { layer(embed(tokens)) }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss distance = mean((forward(tokens) - stop_gradient(embed(targets))) ^ 2)
  }
}
