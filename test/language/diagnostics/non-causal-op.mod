// modc: --phase generate
model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    a = mean(x, axis: 1, keep: true)
    b = softmax(x, axis: 1)
    c = (x @ transpose(x)) @ x
    d = x[:, -1][:, None]
    e = attention(x, x, x)
    f = attention(x, x, x, causal: true)            // reads earlier tokens
    (a + b + c + d + e + f) / T
  }
}
