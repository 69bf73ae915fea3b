block Scale(dim: int64, x: f32, sizes: [size]) { }
