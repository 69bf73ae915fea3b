import { Linear, Residual } from "std"

model M() {
  wrapped: Residual(Linear)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * sqrt }
}
