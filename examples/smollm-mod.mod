import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A decoder with the sizes of SmolLM-360M in which every `every`-th layer is a Mixture-of-Depths layer: what
/// Mixture-of-Depths saves at a size people use. `capacity=100%` routes nothing away.
model SmolMoD(
  vocab: int = 49152, dim: int = 960, heads: int = 15, kv_heads: int = 5, hidden: int = 2560,
  depth: int = 32, every: int = 2, capacity: ratio = 12.5%, context: int = 4096,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % every == every - 1 then MoD(Layer(dim, heads, kv_heads, hidden), dim, capacity)
             else Residual(Layer(dim, heads, kv_heads, hidden))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
}
