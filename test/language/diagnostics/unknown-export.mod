import { Linera, Residual } from "std"
import { Nothing } from "./other.mod"

model M() {
  proj: Linera(4, 4)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { proj(x) }
}
