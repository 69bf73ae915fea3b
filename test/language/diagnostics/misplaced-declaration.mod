block Outer(dim: int) {
  model Inner() {
    forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
  }
  inner: Inner()

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    const half = dim / 2
    import { Linear } from "std"
    x
  }
}
