import { Linear } from "std"

block Wrap(inner: block) {
  outer: Twice(inner)

  forward(x: f32[...]) -> f32[...] { outer(x) }
}

block Twice(inner: block) {
  forward(x: f32[...]) -> f32[...] { inner(inner(x)) }
}

block Clash(inner: block) {
  inner: Twice(inner)

  forward(x: f32[...]) -> f32[...] { inner(x) }
}

model M() {
  fine:  Wrap(Linear(4, 4))
  clash: Clash(Linear(4, 4))

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { clash(fine(x)) }
}
