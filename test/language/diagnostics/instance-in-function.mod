import { Linear } from "std"

const shared = Linear(4, 4)

model M() {
  other: shared

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    proj = Linear(4, 4)
    proj(x)
  }
}
