// Random layers with attention that reads pairs of tokens, and with recurrences; alone and with a route around them.
import * as fc from "fast-check";
import type { Layer } from "./random-layers.js";

const pick = <T>(...of: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...of);

/** A block `Part<id>(dim, heads)` that returns its update, as a residual or on a route. */
const update = (body: (id: number) => string, around: Around, causal: boolean): Layer => ({
  declare: body,
  make: (id) =>
    around === "none" ? `Residual(Part${id}(dim, heads))` : `MoD(Part${id}(dim, heads), dim, ${around.capacity})`,
  causal,
});

type Around = "none" | { readonly capacity: string };
const around: fc.Arbitrary<Around> = pick<Around>("none", { capacity: "50%" }, { capacity: "1/3" }, { capacity: "0%" });

/** Values of pairs: `p` are positions and `c` numbers of the rows, `s` scores of heads [B, H, T]. */
const masks = pick(
  null,
  "same",
  "near and not (c[:, :, None] > 0.5)",
  "near or same",
  "c[:, None, :] >= c[:, :, None]",
  "(s[..., :, None] > s[..., None, :]) or near[:, None]",
  "f32(p)[:, :, None] - f32(p)[:, None, :] < 2.0",
);
const biases = pick(
  null,
  "gap * slopes[:, None, None]",
  "s[..., :, None] - s[..., None, :]",
  "0.3 * sin(c[:, :, None] * c[:, None, :])",
  'rearrange(table[u32(min(abs(gap[:, 0]), 3.0))], "b t s h -> b h t s")',
  "where(same, 0.5, c[:, None, :])",
  "(y @ transpose(y))",
);

/** Attention with any mask, bias, cap and weights of keys, factors by its mass, and a second attention merged by masses. */
export const pairs: fc.Arbitrary<Layer> = fc
  .record({
    around,
    causal: fc.boolean(),
    window: pick(0, 0, 2),
    mask: masks,
    bias: biases,
    cap: pick(null, null, "1.5", "0.3"),
    weight: fc.boolean(),
    use: pick("plain" as const, "sink" as const, "merged" as const, "received" as const),
  })
  .map(({ around: route, causal, window, mask, bias, cap, weight, use }) => {
    const options = [
      ...(causal ? ["causal: true"] : []),
      ...(window > 0 ? [`window: ${window}`] : []),
      ...(mask === null ? [] : [`mask: ${mask}`]),
      ...(bias === null ? [] : [`bias: ${bias}`]),
      ...(cap === null ? [] : [`cap: ${cap}`]),
    ];
    const args = options.map((text) => `, ${text}`).join("");
    const weights = weight ? ", weight: relu(c + 0.3)" : "";
    const uses = {
      plain: `attention(q, k, v${args}${weights})`,
      sink: `attention(q, k, v${args}${weights}) * sigmoid(mass(q, k${args}${weights}) - sink[:, None])[..., None]`,
      merged: `join(attention(q, k, v${args}${weights}), mass(q, k${args}${weights}), attention(k, q, v, causal: ${String(causal)}), mass(k, q, causal: ${String(causal)}))`,
      received: `v * received(q, k${args})[..., None]`,
    };
    return update(
      (id) => `
block Part${id}(dim: int, heads: int) {
  parts: [for i in 0..3: Linear(dim, dim, bias: false)]
  norm: RMSNorm(dim)
  weight slopes: f32[heads] = normal(0.5)
  weight sink: f32[heads] = normal(0.5)
  weight table: f32[4, heads] = normal(0.5)
  weight u: f32[dim] = normal(0.5)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    y = norm(x + 0.2 * sin(f32(position(x)) + 1.0)[..., None])
    (q, k, v) = [for part in parts: rearrange(part(y), "b t (h d) -> b h t d", h: heads)]
    p = position(y)
    c = tanh(y @ u)
    s = k[..., 0]
    same = (u32(f32(p) * 0.4))[:, :, None] == (u32(f32(p) * 0.4))[:, None, :]
    near = p[:, :, None] < p[:, None, :] + 2 and p[:, None, :] < p[:, :, None] + 2
    gap = (f32(p)[:, :, None] - f32(p)[:, None, :])[:, None]
    rearrange(${uses[use]}, "b h t d -> b t (h d)")
  }
  join(a: f32[B, H, T, D], m: f32[B, H, T], b: f32[B, H, T, D], n: f32[B, H, T]) -> f32[B, H, T, D] {
    w = sigmoid(m - n)[..., None]
    w * a + (1.0 - w) * b
  }
}`,
      route,
      causal && use !== "received" && bias !== "(y @ transpose(y))",
    );
  });

/** Sums of shifted rows, scans and linear attention, with states that begin anew. */
export const recurrences: fc.Arbitrary<Layer> = fc
  .record({
    around,
    fresh: pick("", "", ", fresh: c > 0.6"),
    use: pick(
      "c2 = y * taps[0] + earlier(y, 1) * taps[1] + earlier(y, 3) * taps[2]\n    tanh(c2)",
      "0.3 * tanh(y - later(y, 2))",
      "0.3 * tanh(scan(y, log_decay: -softplus(y)FRESH))",
      "0.3 * tanh(scan(yFRESH) / 4.0)",
      "0.3 * tanh(scan(y, log_decay: -0.7, reverse: trueFRESH))",
      "flat(linear_attention(q, k, v, scale: 0.2FRESH))",
      "flat(linear_attention(q, k, v, log_decay: -softplus(s), scale: 0.5FRESH))",
      "flat(linear_attention(q, k, v, log_decay: -softplus(3.0 * k)FRESH))",
      "flat(linear_attention(q, n, v * b, forget: b * n, at: n, log_decay: -0.1 * softplus(s)FRESH))",
      "flat(linear_attention(q[:, :1], n[:, :1], v, log_decay: -softplus(n)FRESH))",
      "flat(linear_attention(q, n, v, log_decay: -softplus(k), forget: b * n, at: nFRESH))",
      "held = scan(put(zeros(like: y), r, take(y, r)), log_decay: -1.0, fresh: r.mask)\n    0.5 * held",
    ),
  })
  .map(({ around: route, fresh, use }) =>
    update(
      (id) => `
block Part${id}(dim: int, heads: int) {
  parts: [for i in 0..3: Linear(dim, dim, bias: false)]
  norm: RMSNorm(dim)
  weight taps: f32[3, dim] = normal(0.5)
  weight u: f32[dim] = normal(0.5)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    y = norm(x + 0.2 * sin(f32(position(x)) + 1.0)[..., None])
    (q, k, v) = [for part in parts: rearrange(part(y), "b t (h d) -> b h t d", h: heads)]
    c = tanh(y @ u)
    s = k[..., 0]
    n = k / sqrt(sum(k * k, axis: -1, keep: true) + 0.1)
    b = sigmoid(s)[..., None]
    r = above(c, 0.2)
    ${use.replaceAll("FRESH", fresh)}
  }
  flat(z: f32[B, H, T, D]) -> f32[B, T, dim] { rearrange(z, "b h t d -> b t (h d)") }
}`,
      route,
      !use.includes("later") && !use.includes("reverse"),
    ),
  );
