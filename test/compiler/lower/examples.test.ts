// The examples and small whole programs, lowered, run and compared with plain loops.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import type { Entry, Model, Phase } from "../../../src/language/check/model/model.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { nodesOf } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { feed, largestDifference, oracleOf } from "./run-case.js";
import { expectClose } from "../../close.js";

/** Both sides compute in 64 bits, in different orders, through some layers. */
const TOLERANCE = 1e-9;

function modelOf(text: string, phase: Phase, options: { entry?: Entry; set?: Record<string, string> } = {}): Model {
  const { model, diagnostics, sources } = check({ file: "test.mod", text }, { phase, read: () => null, ...options });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return model;
}
const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");
const sizes = (B: number, T: number): ReadonlyMap<string, number> =>
  new Map([
    ["B", B],
    ["T", T],
  ]);

const MOBY = { dim: "8", heads: "2", depth: "4", vocab: "5", context: "16", capacity: "40%" };
const LLAMA = { dim: "12", heads: "3", kv_heads: "1", hidden: "10", depth: "2", vocab: "5", context: "16" };

describe("examples, lowered", () => {
  it("golden.mod gives [1, 12, 2, 18] and routes tokens 1 and 3, exactly", () => {
    const graph = lower(modelOf(example("golden"), "infer"));
    for (const g of [graph, optimize(graph, { verify: true })]) {
      const { outputs } = evaluate(g, {
        inputs: new Map([["x", [[[1], [3], [2], [4]]]]]),
        weights: new Map([["router", { shape: [1], data: [1] }]]),
      });
      expect([...outputs.get("output")!.data]).toEqual([1, 12, 2, 18]);
      expect([...outputs.get("chosen.index")!.data]).toEqual([1, 3]);
      expect([...outputs.get("chosen.count")!.data]).toEqual([2]);
    }
  });

  for (const [name, set] of [
    ["moby", MOBY],
    ["llama", LLAMA],
  ] as const) {
    it(`${name}.mod means what plain loops over each sequence compute, in every phase`, { tags: "long" }, () => {
      for (const phase of ["infer", "generate"] as const) {
        const model = modelOf(example(name), phase, { entry: "forward", set });
        for (const [B, T, lengths] of [
          [1, 1, null],
          [3, 9, null],
          [4, 7, [7, 0, 3, 1]],
        ] as const)
          expect(
            largestDifference(model, sizes(B, T), lengths, 3),
            `${phase} B=${B} T=${T} lengths=${String(lengths)}`,
          ).toBeLessThan(TOLERANCE);
      }
    });

    it(`${name}.mod trains on the mean over existing tokens, each loss under its path`, () => {
      const model = modelOf(example(name), "train", { set });
      const fed = feed(model, sizes(1, 9), 5);
      const graph = lower(model);
      const { outputs } = evaluate(optimize(graph, { verify: true }), { ...fed, lengths: [6] });
      const expected = oracleOf(model, fed, 0, sizes(1, 6));
      let total = 0;
      for (const { path, value } of model.losses) {
        expect(outputs.get(`loss.${path}`)!.data[0]).toBeCloseTo(expected(value).data[0]!, 9);
        total += expected(value).data[0]!;
      }
      expect(outputs.get("loss")!.data[0]).toBeCloseTo(total, 9);
      expect(model.losses.map((l) => l.path)).toContain("next_token");
      expect(graph.inputs.map(({ name: input, below }) => [input, below])).toEqual([
        ["tokens", 5],
        ["targets", 5],
      ]);
    });
  }
});

const ATTENTION = `
model Pair(dim: int = 8, heads: int = 2) {
  weight w: f32[3, dim, dim]
  forward(x: f32[B, T <= 16, dim]) -> (fused: f32[B, T, dim], manual: f32[B, T, dim]) {
    q = rearrange(x @ w[0], "b t (h d) -> b h t d", h: heads)
    k = rearrange(x @ w[1], "b t (h d) -> b h t d", h: heads)
    v = rearrange(x @ w[2], "b t (h d) -> b h t d", h: heads)
    fused = rearrange(attention(q, k, v), "b h t d -> b t (h d)")
    manual = rearrange(softmax(q @ transpose(k) * 0.5) @ v, "b h t d -> b t (h d)")
    [fused, manual]
  }
}`;

describe("lowering of whole programs", () => {
  it("makes attention written out in products and softmax equal to attention, of any lengths", () => {
    const model = modelOf(ATTENTION, "infer");
    const { outputs } = evaluate(lower(model), { ...feed(model, sizes(4, 6), 11), lengths: [6, 0, 1, 4] });
    const [fused, manual] = [outputs.get("fused")!, outputs.get("manual")!];
    expect(fused.data.some((v) => v !== 0)).toBe(true);
    expectClose(manual.data, fused.data, () => 5e-11);
  });

  it("makes starts, positions and rotation tables once for all layers", () => {
    const nodes = nodesOf(
      lower(modelOf(example("moby"), "generate", { entry: "forward", set: { ...MOBY, depth: "12" } })),
    );
    const count = (op: string): number => nodes.filter((n) => n.op === op).length;
    expect([count("starts"), count("positions"), count("rope_table")]).toEqual([1, 1, 1]);
  });

  it("gives every node that comes from an expression its call and its place", () => {
    const nodes = nodesOf(lower(modelOf(example("moby"), "infer", { entry: "forward", set: MOBY })));
    const products = nodes.filter((n) => n.op === "matmul");
    expect(products.length).toBeGreaterThan(20);
    for (const { origin } of products) expect(origin?.span.end).toBeGreaterThan(origin!.span.start);
    expect(products.map((n) => n.origin?.path)).toContain("layers.1.inner.attn.q");
  });

  it("bounds an input by the smallest table it indexes", () => {
    const text = `model M() {
      weight small: f32[3, 2]
      weight large: f32[7, 2]
      forward(ids: u32[B, T <= 8]) -> f32[B, T, 2] { large[ids] + small[rearrange(ids, "b t -> b t 1")][:, :, 0] }
    }`;
    expect(lower(modelOf(text, "infer")).inputs[0]!.below).toBe(3);
  });

  it("averages a loss over the tokens that exist and are not ignored, of the whole batch; the mean of none is 0", () => {
    const text = `model M() {
      forward(x: f32[B, T <= 8, 3]) -> f32[B, T, 3] { x }
      objective(x: f32[B, T <= 8, 3], y: i32[B, T]) {
        loss entropy = cross_entropy(x, y)
        loss binary = bce(x[..., 0], sigmoid(x[..., 1]))
        loss yes_no = bce(x[..., 0], y == 0)
      }
    }`;
    const model = modelOf(text, "train");
    const x = [
      [
        [1, 2, 0.5],
        [0, -1, 3],
        [9, 9, 9],
      ],
      [
        [-2, 0.25, 1],
        [7, 7, 7],
        [7, 7, 7],
      ],
    ];
    const y = [
      [0, -1, 2],
      [2, 1, 1],
    ];
    const run = (lengths: readonly number[]): ReadonlyMap<string, number> => {
      const { outputs } = evaluate(optimize(lower(model), { verify: true }), {
        inputs: new Map<string, typeof x | typeof y>([
          ["x", x],
          ["y", y],
        ]),
        weights: new Map(),
        lengths,
      });
      return new Map([...outputs].map(([name, t]) => [name, t.data[0]!]));
    };
    const entropy = (row: readonly number[], at: number): number =>
      Math.log(row.reduce((s, v) => s + Math.exp(v), 0)) - row[at]!;
    const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
    const binary = (z: number, t: number): number => -t * Math.log(sigmoid(z)) - (1 - t) * Math.log(1 - sigmoid(z));
    const rows = [x[0]![0]!, x[0]![1]!, x[1]![0]!];
    const found = run([2, 1]);
    expect(found.get("loss.entropy")).toBeCloseTo((entropy(rows[0]!, 0) + entropy(rows[2]!, 2)) / 2, 12);
    expect(found.get("loss.binary")).toBeCloseTo(rows.reduce((s, r) => s + binary(r[0]!, sigmoid(r[1]!)), 0) / 3, 12);
    expect(found.get("loss.yes_no")).toBeCloseTo((binary(1, 1) + binary(0, 0) + binary(-2, 0)) / 3, 12);
    expect([...run([0, 0]).values()]).toEqual([0, 0, 0, 0]);
  });
});

const PROGRAMS: readonly (readonly [inputs: string, result: string, body: string])[] = [
  ["x: f32[B, T <= 8, 4], extra: f32[B, S <= 6, 4]", "f32[B, T, 4]", "x + attention(x, extra, extra)"],
  ["x: f32[B, T <= 8, 4], extra: f32[B, S <= 6, 4]", "f32[B, T, S]", "softmax(x @ transpose(extra))"],
  ["x: f32[B, T <= 8, 4], extra: f32[B, S <= 6, 4]", "f32[B, T, 4]", "x + mean(extra, axis: 1, keep: true)"],
  ["x: f32[B, T <= 8, N <= 5]", "f32[B, T, N]", "x + mean(x, axis: -1, keep: true)"],
  ["x: f32[B, T <= 8, 4], m: bool[B, T]", "f32[B, T, 4]", "where(m[..., None], x, 0.5)"],
  ["x: f32[B, T <= 8, 4]", "f32[B, T, 4]", "x * ceil(29% * T) / T"],
  ["x: f32[B, T <= 8, 4]", "bool[B]", "(x > 0.0)[:, -1][:, 0]"],
  ["x: f32[B, T <= 8, 4]", "f32[B, 4, T]", "transpose(x)"],
  ["x: f32[B, T <= 8, 4]", "f32[B, T, T]", "exp(x @ transpose(x))"],
  ["x: f32[B, T <= 8, 4]", "f32[B, T, T]", "(x @ transpose(x))[:, 1:, :][:, 0][:, None] + x @ transpose(x)"],
  ["x: f32[B, T <= 8, 4]", "u32[B, T]", "argmax(log(relu(x @ transpose(x) - 0.5)), axis: 1)"],
  ["x: f32[B, T <= 8, 4]", "f32[B, 4]", "max(x[:, 2:], axis: 1)"],
  ["x: f32[B, T <= 8, 4], table: f32[7, 4], i: i32[B, T]", "f32[B, T, 4]", "table[i] + x"],
];

describe("programs along one or several sequences", () => {
  for (const [inputs, result, body] of PROGRAMS)
    it(`${body}, of ${inputs}`, () => {
      const model = modelOf(`model M() {\n forward(${inputs}) -> ${result} { ${body} }\n}`, "infer");
      const extents = new Map([
        ["B", 4],
        ["T", 7],
        ["S", 3],
        ["N", 5],
      ]);
      const lengths = inputs.includes("S <=") ? null : [7, 0, 1, 5]; // they are of one axis
      expect(largestDifference(model, extents, lengths, 4)).toBeLessThan(TOLERANCE);
    });
});

describe("random values, lowered", () => {
  const text = `model M() {
    forward(x: f32[B, T <= 8, 4]) -> (noise: f32[B, T, 4], dropped: f32[B, T, 4], pairs: f32[B, T, T], routed: f32[B, T, 4], flat: f32[B, 4]) {
      chosen = top(sum(x, axis: -1), ceil(1/2 * T))
      rows = random_normal(like: take(x, chosen))
      scores = x @ transpose(x)
      [random_normal(like: x), dropout(1.0 + 0.0 * x, 0.25), dropout(1.0 + 0.0 * scores, 0.5), put(0.0 * x, chosen, rows), random_uniform(like: x[:, 0])]
    }
    objective(x: f32[B, T <= 8, 4]) { loss zero = mean(x) }
  }`;
  const model = modelOf(text, "train", { entry: "forward" });
  const graph = lower(model);
  const run = (
    B: number,
    T: number,
    lengths: readonly number[],
    seed: number,
  ): ReadonlyMap<string, { readonly data: Float64Array; readonly shape: readonly number[] }> =>
    evaluate(graph, { ...feed(model, sizes(B, T), 1), lengths, seed }).outputs;

  it("depend neither on the batch row, nor the batch size, nor the lengths of other sequences", () => {
    const wide = run(3, 8, [4, 8, 4], 7);
    const alone = run(1, 4, [4], 7);
    for (const name of ["noise", "dropped"]) {
      const [a, b] = [wide.get(name)!, alone.get(name)!];
      for (let i = 0; i < 4 * 4; i++) expect([a.data[i], a.data[2 * 8 * 4 + i]]).toEqual([b.data[i], b.data[i]]);
    }
    const [pairs, own] = [wide.get("pairs")!, alone.get("pairs")!];
    for (let t = 0; t < 4; t++) for (let s = 0; s < 4; s++) expect(pairs.data[t * 8 + s]).toBe(own.data[t * 4 + s]);
    expect(wide.get("flat")!.data.slice(0, 4)).toEqual(wide.get("flat")!.data.slice(8));
  });

  it("depend on the position in the model's input, not on the row of a route, and on the call and seed", () => {
    const out = run(1, 8, [8], 7);
    const changed = [...out.get("routed")!.data].filter((v) => v !== 0);
    expect(changed.length).toBe(16);
    expect(new Set([...changed, ...out.get("noise")!.data]).size).toBe(16 + 32);
    expect([...run(1, 8, [8], 8).get("noise")!.data]).not.toEqual([...out.get("noise")!.data]);
  });

  it("keep a share 1 − p of elements under dropout, scaled by 1 / (1 − p)", () => {
    const kept = [...run(1, 8, [8], 3).get("dropped")!.data];
    expect(new Set(kept.map((v) => v.toFixed(12)))).toEqual(new Set(["0.000000000000", (4 / 3).toFixed(12)]));
    const share = kept.filter((v) => v !== 0).length / kept.length;
    expect(Math.abs(share - 0.75)).toBeLessThan(0.25);
  });
});
