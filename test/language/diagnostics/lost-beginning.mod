model M() {
  weight w: f32[4]
  forward(x: f32[B, T, 4], begins: bool[B, T]) -> f32[B, T, 4] {
    chosen = top(x @ w, ceil(50% * T))
    lost = scan(take(x, chosen), fresh: take(begins, chosen))
    doc = scan(f32(begins))
    own = take(doc, chosen)
    kept = scan(take(x, chosen), fresh: own != earlier(own, 1))
    all = those(begins or (x @ w > 0.0))
    whole = scan(take(x, all), fresh: take(begins, all))
    put(put(x, chosen, lost + kept), all, whole)
  }
}
