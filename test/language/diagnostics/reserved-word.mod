import { Linear } from "std"

block Pair(dim: int) {
  names: Linear(dim, dim)
  forward(in: f32[B, dim]) -> f32[B, dim] { q(in) }
  q: Linear(dim, dim)
}
