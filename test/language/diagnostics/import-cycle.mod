import { A } from "./a.mod"

model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
