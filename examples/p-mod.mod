import { Layer, MoD, Residual, RMSNorm } from "std"

/// The share of vision tokens each layer keeps, by p-MoD's shifted cosine schedule: max(cos(l · π / 31) / 2 + 1/2, 15%),
/// and all of them where that is above 85%.
const schedule = [
  100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%,
  84.45%, 80.61%, 76.45%, 72.02%, 67.37%, 62.53%, 57.57%, 52.53%,
  47.47%, 42.43%, 37.47%, 32.63%, 27.98%, 23.55%, 19.39%, 15.55%,
  15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%,
]

/// p-MoD (Zhang et al. 2024, arXiv 2412.04449): Mixture-of-Depths for vision tokens with a capacity that falls from layer
/// to layer and a gate that is 1 where the router says 0, so that a trained dense model starts unchanged.
/// The sizes are those of a 7B decoder; the inputs are the vision tokens' embeddings.
model PMoD(dim: int = 4096, heads: int = 32, hidden: int = 11008, context: int = 2880) {
  layers: [for share in schedule:
             if share < 100% then MoD(
               Layer(dim, heads, hidden: hidden), dim, share, gate: "identity",
             )
             else Residual(Layer(dim, heads, hidden: hidden))]
  norm:   RMSNorm(dim)

  forward(x: f32[B, T <= context, dim]) -> f32[B, T, dim] {
    for layer in layers { x = layer(x) }
    norm(x)
  }
}
