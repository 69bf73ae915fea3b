import { B } from "./b.mod"

block A() {
  forward(x: f32[B]) -> f32[B] { x }
}
