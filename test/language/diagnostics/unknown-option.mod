// modc: --set kind="left"
import { Layer, Linear, MoD, Residual } from "std"

/// Passes its option on, so that the block within knows what it may be.
block Wrapped(mode: string) {
  inner: MoD(Linear(8, 8), 8, gate: mode)

  forward(x: f32[B, T, 8]) -> f32[B, T, 8] { inner(x) }
}

/// Compares and joins: it may be anything.
block Named(label: string, again: string = label) {
  forward(x: f32[...]) -> f32[...] { if label == again then x else -x }
}

/// All options have a branch of their own: the `else` is for other strings.
block Handled(side: string = "left", order: string = "same") {
  if side == "left" { a: Linear(8, 8) } else { b: Linear(8, 8) }
  forward(x: f32[B, T, 8]) -> f32[B, T, 8] {
    y = if side == "left" then a(x) else b(x)
    if order != "same" { y = -y }
    y
  }
}

model M(kind: string = "down") {
  layer:   Residual(Layer(8, 2, mlp: "gelus"))
  mod:     MoD(Linear(8, 8), 8, gate: "sigmoyd")
  default: MoD(Linear(8, 8), 8, gate: "raw")
  wrapped: Wrapped("loud")
  named:   Named("a")
  handled: Handled("right", "other")

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    y = if kind == "up" then x else -x
    layer(named(handled(wrapped(default(mod(y))))))
  }
}
