import { A } from "./a.mod"

block B() {
  forward(x: f32[B]) -> f32[B] { x }
}
