model M() {
  forward(image: f32[B, 196, 8]) -> f32[B, 196, 8] {
    attention(image, image, image)
  }
}
