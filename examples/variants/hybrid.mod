import {
  Embedding, GatedDeltaNet, Layer, LayerOf, Mamba2, MoD, Residual, RMSNorm, SwiGLU,
} from "std"

/// A hybrid decoder: of four layers three are recurrent and one has attention, as in Qwen3-Next, with gated DeltaNets
/// (arXiv 2412.06464) or Mamba-2 (arXiv 2405.21060, `--set mixer='"mamba2"'`). Every second layer is a
/// Mixture-of-Depths layer (arXiv 2404.02258): a token that skips a recurrent one neither moves its state nor lets it
/// decay, and its convolutions see the chosen tokens as neighbours.
model Hybrid(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 8,
  context: int = 256,
  mixer: string = "delta", state_dim: int = 32, capacity: ratio = 25%,
) {
  embed:  Embedding(vocab, dim)
  mixers: [for i in 0..depth:
             if i % 4 == 3 then Layer(dim, heads, hidden: hidden)
             else LayerOf(
               if mixer == "mamba2" then Mamba2(dim, heads, state_dim: state_dim)
               else GatedDeltaNet(dim, heads),
               SwiGLU(dim, hidden),
               dim,
             )]
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(mixers[i], dim, capacity) else Residual(mixers[i])]
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
