import Linear from "std"

const n 3

block Scale(dim: int, 2) {
  forward(x: f32[B, T, dim]) f32[B, T, dim] {
    return x
  }

  for i in 0..3 { x }
  names { "a": "b" }
}

class Other { }
