// Laws of pairs and recurrences: two ways to write one function have the same results, losses and gradients.
import { describe, expect, it } from "vitest";
import { testDevice } from "../device.js";
import { expectAgreement } from "../end-to-end/agree.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomTokens,
  randomWeights,
  reference,
  sessionOf,
} from "../end-to-end/model.js";
import type { Case } from "../end-to-end/model.js";

const D = 16;
const T = 37;

/** A model of rows x, scores s and kinds, of which 0 begins a document; `body` gives `o: f32[B, heads, T, d]`. */
const source = (body: string): string => `
import { Linear } from "std"
model M(dim: int = ${D}, heads: int = 2) {
  qkv:  Linear(dim, 3 * dim)
  gate: Linear(dim, heads)
  weight sink:  f32[heads]
  weight table: f32[64, heads]
  forward(x: f32[B, T <= 64, dim], s: f32[B, T], kind: u32[B, T]) -> f32[B, T, dim] {
    h     = rearrange(qkv(x), "b t (n h d) -> b n h t d", n: 3, h: heads)
    (q, k, v) = (h[:, 0], h[:, 1], h[:, 2])
    at    = f32(position(x))
    gap   = at[:, :, None] - at[:, None, :]
    past  = gap >= 0.0
    fresh = kind == 0
    doc   = scan(f32(fresh))
    same  = doc[:, :, None] == doc[:, None, :]
    log_f = -softplus(rearrange(gate(x), "b t h -> b h t"))
    score = (q @ transpose(k)) * 0.5
    ${body.trim().replaceAll("\n", "\n    ")}
    rearrange(o, "b h t d -> b t (h d)")
  }
  objective(x: f32[B, T <= 64, dim], s: f32[B, T], kind: u32[B, T]) {
    y = forward(x, s, kind)
    loss square = mean(y * y + y)
  }
}
`;

const ATTENTION = "attention(q, k, v, scale: 0.5";
const DENSE = `o = ${ATTENTION}, causal: true)`;
const softmaxOf = (scores: string, seen: string): string => `
p = exp(where(${seen}, ${scores}, -1e30))
o = (p @ v) / (sum(p, axis: -1, keep: true) + 1e-30)`;

/** Two bodies that are equal. */
type Law = readonly [name: string, one: string, other: string];
const asCase = ([name, one, other]: Law) => ({ name, one, other });

const PAIRS: readonly Law[] = [
  ["a mask of all true is none", `o = ${ATTENTION}, causal: true, mask: gap < 1e6)`, DENSE],
  [
    "a mask of a window is the window",
    `o = ${ATTENTION}, causal: true, mask: gap < 5.0)`,
    `o = ${ATTENTION}, causal: true, window: 5)`,
  ],
  ["a mask of what is behind is causal", `o = ${ATTENTION}, mask: past)`, DENSE],
  [
    "a mask of documents hides pairs",
    `o = ${ATTENTION}, causal: true, mask: same)`,
    softmaxOf("score", "(past and same)[:, None]"),
  ],
  [
    "a bias is added",
    `o = ${ATTENTION}, causal: true, bias: -sink[:, None, None] * gap[:, None])`,
    softmaxOf("score - sink[:, None, None] * gap[:, None]", "past[:, None]"),
  ],
  [
    "a table at differences of positions is added",
    `o = ${ATTENTION}, bias: rearrange(table[u32(abs(gap))], "b t s h -> b h t s"))`,
    softmaxOf('score + rearrange(table[u32(abs(gap))], "b t s h -> b h t s")', "(gap < 1e6)[:, None]"),
  ],
  [
    "a forget gate is a bias",
    `c = scan(log_f)\no = ${ATTENTION}, causal: true, bias: c[..., :, None] - c[..., None, :])`,
    `c = scan(log_f)\n${softmaxOf("score + c[..., :, None] - c[..., None, :]", "past[:, None]")}`,
  ],
  [
    "a cap bounds scores",
    `o = ${ATTENTION}, causal: true, cap: 0.7)`,
    softmaxOf("0.7 * tanh(score / 0.7)", "past[:, None]"),
  ],
  ["a large cap is none", `o = ${ATTENTION}, causal: true, cap: 1e7)`, DENSE],
  [
    "a sink is one more column",
    `o = ${ATTENTION}, causal: true) * sigmoid(mass(q, k, causal: true, scale: 0.5) - sink[:, None])[..., None]`,
    `p = exp(where(past[:, None], score, -1e30))
o = (p @ v) / (sum(p, axis: -1, keep: true) + exp(sink)[:, None, None])`,
  ],
  [
    "two merged halves of the keys are all",
    `even = (kind < 2)[:, None, :]
a = ${ATTENTION}, causal: true, mask: even)
b = ${ATTENTION}, causal: true, mask: not even)
w = sigmoid(mass(q, k, causal: true, scale: 0.5, mask: even) - mass(q, k, causal: true, scale: 0.5, mask: not even))[..., None]
o = w * a + (1.0 - w) * b`,
    DENSE,
  ],
  [
    "a weight of keys is a bias by its log",
    `o = ${ATTENTION}, causal: true, weight: exp(s))`,
    `o = ${ATTENTION}, causal: true, bias: s[:, None, :])`,
  ],
  [
    "the mass received is a sum of probabilities",
    `o = v * received(q, k, causal: true, scale: 0.5, mask: same)[..., None]`,
    `p = exp(where((past and same)[:, None], score, -1e30))
o = v * sum(p / sum(p, axis: -1, keep: true), axis: -2)[..., None]`,
  ],
  [
    "top of all tokens is no route",
    `r = top(s, 64)
(e, f, g) = (rearrange(q, "b h t d -> b t h d"), rearrange(k, "b h t d -> b t h d"), rearrange(v, "b h t d -> b t h d"))
(i, j, l) = (rearrange(take(e, r), "b t h d -> b h t d"), rearrange(take(f, r), "b t h d -> b h t d"), rearrange(take(g, r), "b t h d -> b h t d"))
w = take(doc, r)
y = attention(i, j, l, scale: 0.5, causal: true, mask: w[:, :, None] == w[:, None, :])
o = rearrange(put(zeros(like: e), r, rearrange(y, "b h t d -> b t h d")), "b t h d -> b h t d")`,
    `o = ${ATTENTION}, causal: true, mask: same)`,
  ],
];

const LINEAR = "linear_attention(q, k, v";
const decays = "c = scan(log_f)\nf = exp(where(past[:, None], c[..., :, None] - c[..., None, :], -1e30))";

const RECURRENCES: readonly Law[] = [
  ["scan sums the rows so far", "o = scan_heads(v)", "o = f32(past)[:, None] @ v"],
  ["scan reversed sums the rest", "o = scan_reversed(v)", "o = f32(gap <= 0.0)[:, None] @ v"],
  ["a decay multiplies what came before", "o = scan_decayed(v, log_f)", `${decays}\no = f @ v`],
  ["scan starts again where it is fresh", "o = scan_fresh(v, fresh)", "o = f32(past and same)[:, None] @ v"],
  ["earlier is the row before", "o = shifted(v, 2)", "o = f32(gap == 2.0)[:, None] @ v"],
  ["later is the row behind", "o = shifted_back(v, 3)", "o = f32(gap == -3.0)[:, None] @ v"],
  ["linear attention is a masked product", `o = ${LINEAR}, scale: 0.5)`, "o = where(past[:, None], score, 0.0) @ v"],
  ["linear attention decays", `o = ${LINEAR}, scale: 0.5, log_decay: log_f)`, `${decays}\no = (score * f) @ v`],
  [
    "linear attention starts again where it is fresh",
    `o = ${LINEAR}, scale: 0.5, fresh: fresh)`,
    "o = where((past and same)[:, None], score, 0.0) @ v",
  ],
  [
    "decays of each dimension, all equal, are a decay of the head",
    `o = ${LINEAR}, log_decay: log_f[..., None] + zeros(like: k))`,
    `o = ${LINEAR}, log_decay: log_f)`,
  ],
  [
    "to forget nothing is not to forget",
    `o = ${LINEAR}, forget: zeros(like: k), at: k, log_decay: log_f)`,
    `o = ${LINEAR}, log_decay: log_f)`,
  ],
  [
    "who skips moves no state and lets it not decay",
    `r = top(s, ceil(T / 2))
m = f32(r.mask)
y = linear_attention(q, k, v * m[:, None, :, None], log_decay: log_f * m[:, None], forget: 0.2 * k * m[:, None, :, None], at: k)
o = y * m[:, None, :, None]`,
    `r = top(s, ceil(T / 2))
(e, f, g) = (rearrange(q, "b h t d -> b t h d"), rearrange(k, "b h t d -> b t h d"), rearrange(v, "b h t d -> b t h d"))
(i, j, l) = (rearrange(take(e, r), "b t h d -> b h t d"), rearrange(take(f, r), "b t h d -> b h t d"), rearrange(take(g, r), "b t h d -> b h t d"))
w = rearrange(take(rearrange(log_f, "b h t -> b t h"), r), "b t h -> b h t")
y = linear_attention(i, j, l, log_decay: w, forget: 0.2 * j, at: j)
o = rearrange(put(zeros(like: e), r, rearrange(y, "b h t d -> b t h d")), "b t h d -> b h t d")`,
  ],
  [
    "a scan of a route's rows, fresh where it chose, holds the last",
    `r = top(s, ceil(T / 3))
e = rearrange(v, "b h t d -> b t (h d)")
o = rearrange(scan(put(zeros(like: e), r, take(e, r)), fresh: r.mask), "b t (h d) -> b h t d", h: heads)`,
    `r = top(s, ceil(T / 3))
n = scan(f32(r.mask))
o = f32(n[:, :, None] == n[:, None, :] and r.mask[:, None, :] and past)[:, None] @ v`,
  ],
];

/** Recurrences of rows run along the tokens of `[B, T, …]`. */
const HELPERS: Readonly<Record<string, string>> = {
  "scan_heads(v)": "scan(e)",
  "scan_reversed(v)": "scan(e, reverse: true)",
  "scan_decayed(v, log_f)": 'scan(e, log_decay: rearrange(log_f, "b h t -> b t h 1"))',
  "scan_fresh(v, fresh)": "scan(e, fresh: fresh)",
  "shifted(v, 2)": "earlier(e, 2)",
  "shifted_back(v, 3)": "later(e, 3)",
};
const rows = (body: string): string =>
  Object.entries(HELPERS).reduce(
    (text, [call, along]) =>
      text.replace(
        `o = ${call}`,
        `e = rearrange(v, "b h t d -> b t h d")\no = rearrange(${along}, "b t h d -> b h t d")`,
      ),
    body,
  );

const given: Case = {
  inputs: { x: randomInput([3, T, D], 1), s: randomInput([3, T], 2), kind: randomTokens([3, T], 4, 3) },
  lengths: Uint32Array.of(T, 0, 21),
};

/** Results, loss and gradients of a body, by the reference; the device agrees. */
async function numbersOf(body: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, readonly number[]>();
  for (const options of [{ phase: "infer" }, { phase: "train", gradients: true }] as const) {
    const { program, graph } = compiled(source(body), options);
    const weights = randomWeights(program, 4, 1);
    const names = new Set(graph.inputs.map(({ name }) => name));
    const own = { ...given, inputs: Object.fromEntries(Object.entries(given.inputs).filter(([n]) => names.has(n))) };
    const session = await sessionOf(program, await testDevice(), weights, { B: 3, T });
    const results = await onDevice(session, own);
    session.dispose();
    // Sums of 37 products of three sums in f32; a gradient adds those of 58 rows, and what a recurrence keeps grows.
    expectAgreement(graph, weights, own, results, { atol: 2e-4, rtol: 1e-3 }, { choices: 0, forced: 0 });
    for (const [name, { data }] of reference(graph, weights, own).outputs)
      found.set(`${options.phase} ${name}`, Array.from(data));
  }
  return found;
}

describe.each([
  ["pairs", PAIRS],
  ["recurrences", RECURRENCES],
])("laws of %s", (_, laws) => {
  it.each(laws.map(asCase))("$name", { tags: "long", timeout: 120_000 }, async ({ one, other }) => {
    const [a, b] = [await numbersOf(rows(one)), await numbersOf(rows(other))];
    let moved = 0;
    for (const [name, values] of a) {
      // A weight that only one of them reads has no gradient in the other, and `received` has none.
      if (!b.has(name) || (one.includes("received") && name.includes("grad."))) continue;
      const largest = Math.max(...values.map(Math.abs), 1e-30);
      const apart = Math.max(...values.map((x, i) => Math.abs(x - b.get(name)![i]!)));
      // relative to the largest number: the rounding of sums in another order
      expect(apart / largest, name).toBeLessThan(1e-9);
      moved++;
    }
    expect(moved).toBeGreaterThan(1);
  });
});
