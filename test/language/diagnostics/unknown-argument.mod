// modc: --set detph=3
import { Linear } from "std"

model M(depth: int = 4) {
  proj: Linear(4, 4, bais: false)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { proj(y: x) }
}
