/// Only a library.
block Twice() {
  forward(x: f32[...]) -> f32[...] { 2 * x }
}
