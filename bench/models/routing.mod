import { MoD } from "std"

/// As good as nothing: one value from each.
block Nothing() {
  forward(x: f32[...]) -> f32[...] { tanh(x) }
}

/// Mixture-of-Depths around nothing: what scoring, choosing, gathering and putting back cost by themselves.
model Routing(dim: int = 512, capacity: ratio = 12.5%, context: int = 2048, repeat: int = 1) {
  layer: MoD(Nothing(), dim, capacity)

  forward(x: f32[B, T <= context, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = layer(x) }
    x
  }
}
