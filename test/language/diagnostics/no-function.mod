// modc: --phase train
import { Linear } from "std"

model M() {
  proj: Linear(4, 4)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { proj(x) }
}
