// modc: --review yes
import { Linear } from "std"

block Scale(dim: int) {
  weight scale: f32[dim]
  weight shift: f32[dim] = zeros                  // forgotten
  spare: Linear(dim, dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x * scale }
}

model M() {
  one: Scale(8)
  two: [for i in 0..2: Scale(8)]
  weight old: f32[8]
  // @allow unread-weight: older checkpoints hold it
  weight older: f32[8]

  forward(x: f32[B, T, 8]) -> f32[B, T, 8] { one(x) + two[0].scale }
}
