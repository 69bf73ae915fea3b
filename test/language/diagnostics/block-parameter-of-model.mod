import { Linear } from "std"

model M(inner: block = Linear(4, 4)) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { inner(x) }
}
