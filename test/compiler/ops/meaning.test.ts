// What operators mean, checked against definitions of another kind than their own: formulas, brute force, invariants.
import { describe, expect, it } from "vitest";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { erf } from "../../../src/compiler/ops/pointwise.js";
import { ops, wgslLiteral } from "../../../src/compiler/ops/index.js";
import { ranked } from "../../../src/compiler/ops/routing.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { applySize, axisSize, multiplySizes, rowsSize, sizeOf, type Size } from "../../../src/ground/size/size.js";
import { Bench, randomFrom, type Setting } from "./bench.js";
import { allSamples, caseOf } from "./samples.js";
import { expectClose } from "../../close.js";

const UNEQUAL = { batch: 3, tokens: 5, lengths: [5, 2, 4] } as const;

/** The first result of an operator's node. */
function result(setting: Setting, build: (b: Bench) => ReturnType<Bench["node"]>, seed = 1): Tensor {
  const bench = new Bench(setting, seed);
  const made = bench.finish(build(bench), "meaning");
  return evaluate(made.graph, made.options).outputs.get("y0")!;
}

describe("erf", () => {
  // Abramowitz and Stegun, table 7.1
  it.each([
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [2.5, 0.999593047982555],
    [3, 0.9999779095030014],
    [-1, -0.8427007929497149],
    [7, 1],
  ])("of %d is %d", (x, y) => {
    expect(Math.abs(erf(x) - y)).toBeLessThan(4e-16);
  });
});

describe("top", () => {
  it("chooses as a stable sort of numbers before NaN would, for any scores", () => {
    const random = randomFrom(5);
    const special = [NaN, Infinity, -Infinity, 0, -0, 1, -1];
    for (let round = 0; round < 300; round++) {
      const n = 1 + random.below(12);
      const score = Array.from({ length: n }, () =>
        random.below(2) ? special[random.below(special.length)]! : random.below(4),
      );
      const numbers = score.flatMap((s, i) => (Number.isNaN(s) ? [] : [i]));
      const greedy: number[] = [];
      while (numbers.length > 0) {
        let best = 0;
        numbers.forEach((i, at) => {
          if (score[i]! > score[numbers[best]!]!) best = at;
        });
        greedy.push(...numbers.splice(best, 1));
      }
      expect(ranked(score, 0, n)).toEqual([...greedy, ...score.flatMap((s, i) => (Number.isNaN(s) ? [i] : []))]);
    }
  });

  const chosen = (tokens: number, k: Size): number =>
    result({ tokens, axes: { K: { kind: "top", parent: "T", k } } }, (b) => b.top("K")).data.length;
  const share = (num: number, den: number): Size => multiplySizes(sizeOf(rational(num, den)), axisSize("T"));

  // case B5 of the literature's table: an eighth of T, rounded down and up; 29% of 100 is 29
  it.each([
    [1, 0, 1],
    [7, 0, 1],
    [8, 1, 1],
    [100, 12, 13],
    [512, 64, 64],
    [2048, 256, 256],
  ])("of %i tokens takes %i or %i at an eighth", (tokens, down, up) => {
    expect(chosen(tokens, applySize("floor", [share(1, 8)]))).toBe(down);
    expect(chosen(tokens, applySize("ceil", [share(1, 8)]))).toBe(up);
  });
  it("counts exactly", () => {
    expect(chosen(100, applySize("floor", [share(29, 100)]))).toBe(29);
    expect(chosen(100, applySize("floor", [share(57, 100)]))).toBe(57);
  });
});

describe("put", () => {
  it("leaves every other row bit for bit as it was", () => {
    const setting: Setting = { ...UNEQUAL, axes: { K: { kind: "top", parent: "T", k: 2 } } };
    const values = [-0, 1e-45, NaN, Infinity, 0.1, 0.2, -0, 3, 4, 5, 6];
    const y = result(setting, (b) => {
      const x = b.rows([], [], "f32", values);
      b.top("K", b.rows([], [], "f32", [0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]));
      return b.node("put", [x, b.index("K"), b.node("take", [x, b.index("K")], { dim: 0 })], { dim: 0 });
    });
    const expected = [-0, 1e-45, NaN, Infinity, 0.2, 0.4, -0, 0, 0, 0, 3, 4, 10, 12, 0].map(Math.fround);
    // −0 + −0 stays −0 where it is put
    expect(
      [...y.data].map((v, i) => Object.is(Math.fround(v), expected[i]) || `${i}: ${v} against ${expected[i]}`),
    ).toEqual(expected.map(() => true));
  });
});

describe("softmax", () => {
  it("sums to one and keeps differences of logits", () => {
    const bench = new Bench({}, 3);
    const x = bench.data("f32", [5, 7]);
    const made = bench.finish(bench.node("softmax", [x], { axis: 1 }), "softmax");
    const y = evaluate(made.graph, made.options).outputs.get("y0")!.data;
    const logits = made.options.inputs.get("x1")!;
    for (let r = 0; r < 5; r++) {
      const row = y.subarray(r * 7, r * 7 + 7);
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 14);
      for (let c = 1; c < 7; c++)
        expect(Math.log(row[c]! / row[0]!)).toBeCloseTo(logits.data[r * 7 + c]! - logits.data[r * 7]!, 12);
    }
  });
});

describe("cross entropy", () => {
  it("is the logarithm of the softmax at the target, negated", () => {
    const loss = (b: Bench) => b.node("cross_entropy", [b.data("f32", [4, 9]), b.data("u32", [4], [0, 8, 3, 3])], {});
    const probability = (b: Bench) => b.node("softmax", [b.data("f32", [4, 9])], { axis: 1 });
    const p = result({}, probability, 11).data;
    const l = result({}, loss, 11).data;
    [0, 8, 3, 3].forEach((t, r) => expect(l[r]).toBeCloseTo(-Math.log(p[r * 9 + t]!), 12));
  });
});

describe("rope", () => {
  const setting: Setting = { tokens: 9 };
  const turned = (b: Bench) =>
    b.node(
      "rope",
      [
        b.rows([2], [6]),
        b.positions("T"),
        b.node("rope_table", [], { positions: 9, width: 6, theta: 100, frequencies: null, scale: 1 }),
      ],
      {},
    );

  it("keeps the length of every pair", () => {
    const [x, y] = [
      result(setting, (b) => b.node("neg", [b.rows([2], [6])], {}), 4).data,
      result(setting, turned, 4).data,
    ];
    for (let r = 0; r < 18; r++)
      for (let i = 0; i < 3; i++)
        expect(Math.hypot(y[r * 6 + i]!, y[r * 6 + i + 3]!)).toBeCloseTo(
          Math.hypot(x[r * 6 + i]!, x[r * 6 + i + 3]!),
          12,
        );
  });

  it("turns pair i by position · θ^(−2i/d)", () => {
    const [x, y] = [
      result(setting, (b) => b.node("neg", [b.rows([2], [6])], {}), 4).data,
      result(setting, turned, 4).data,
    ];
    const angle = (a: number, b: number) => Math.atan2(b, a);
    for (let p = 0; p < 9; p++)
      for (let i = 0; i < 3; i++) {
        const r = p * 6 + i;
        const turn = angle(y[r]!, y[r + 3]!) - angle(-x[r]!, -x[r + 3]!);
        const off = (turn - p * 100 ** (-i / 3)) / (2 * Math.PI);
        expect(Math.abs(off - Math.round(off))).toBeLessThan(1e-12);
      }
  });
});

describe("attention", () => {
  /** Attention by its textbook formula on full matrices: every pair, −∞ where unseen. */
  function dense(x: readonly Float64Array[], n: number, d: number, seen: (i: number, j: number) => boolean): number[] {
    const [q, k, v] = x as [Float64Array, Float64Array, Float64Array];
    return Array.from({ length: n }, (_, i) => {
      const scores = Array.from({ length: n }, (__, j) =>
        seen(i, j)
          ? Array.from({ length: d }, (___, c) => q[i * d + c]! * k[j * d + c]!).reduce((a, b) => a + b, 0) /
            Math.sqrt(d)
          : -Infinity,
      );
      const weights = scores.map(Math.exp);
      const sum = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: d }, (__, c) => weights.reduce((s, w, j) => s + w * v[j * d + c]!, 0) / sum);
    }).flat();
  }

  it.each([
    { causal: true, window: 0 },
    { causal: false, window: 0 },
    { causal: true, window: 3 },
    { causal: false, window: 3 },
    { causal: true, window: 1 },
    { causal: true, window: 100 },
  ])("causal $causal, window $window is the formula on full matrices", ({ causal, window }) => {
    const [n, d] = [7, 5];
    const bench = new Bench({ tokens: n }, 9);
    const [q, k, v] = [bench.rows([1], [d]), bench.rows([1], [d]), bench.rows([1], [d])];
    const starts = bench.starts("T");
    const positions = bench.positions("T");
    const made = bench.finish(
      bench.node("attention", [q, k, v, starts, starts, positions, positions], {
        causal,
        window,
        scale: 1 / Math.sqrt(d),
      }),
      "attention",
    );
    const found = evaluate(made.graph, made.options).outputs.get("y0")!.data;
    const inputs = ["x1", "x2", "x3"].map((name) => made.options.inputs.get(name)!.data);
    const expected = dense(inputs, n, d, (i, j) => (!causal || j <= i) && (window === 0 || Math.abs(i - j) < window));
    expectClose(found, expected, () => 5e-13);
  });

  it("costs its seen pairs exactly where all sequences are full", () => {
    const pairs = (n: number, causal: boolean, window: number): number => {
      let count = 0;
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) if ((!causal || j <= i) && (window === 0 || Math.abs(i - j) < window)) count++;
      return count;
    };
    const rows = { dtype: "f32" as const, shape: [4, rowsSize("T"), 8] };
    const values = { dtype: "f32" as const, shape: [4, rowsSize("T"), 2] };
    for (const n of [1, 2, 7, 64])
      for (const causal of [true, false])
        for (const window of [0, 1, 3, 1000]) {
          const attrs = { causal, window, scale: 1 };
          const { flops } = ops.attention.cost(
            [
              rows,
              rows,
              values,
              ...Array.from({ length: 4 }, () => ({ dtype: "u32" as const, shape: [rowsSize("T")] })),
            ],
            attrs,
            [values],
          );
          const bench = new Bench({ batch: 3, tokens: n }, 1);
          const made = bench.finish(bench.node("size", [], { size: flops, dtype: "f32" }), "cost");
          expect(evaluate(made.graph, made.options).outputs.get("y0")!.data[0]).toBe(
            3 * 4 * 2 * (8 + 2) * pairs(n, causal, window),
          );
        }
  });
});

describe("random values", () => {
  const noise = (setting: Setting, op: "random_uniform" | "random_normal", stream = 3) =>
    result(setting, (b) =>
      b.node<"random_uniform" | "random_normal">(op, [b.node("seed", [], {}), b.positions("T")], {
        shape: [rowsSize("T"), 4],
        dim: 0,
        stream,
      }),
    ).data;

  it("do not depend on the batch row, the batch size or the lengths", () => {
    const alone = noise({ tokens: 5 }, "random_normal");
    const many = noise({ batch: 3, tokens: 5 }, "random_normal");
    for (let b = 0; b < 3; b++) expect([...many.subarray(b * 20, b * 20 + 20)]).toEqual([...alone]);
    expect([...noise({ batch: 2, tokens: 5, lengths: [3, 5] }, "random_normal").subarray(0, 12)]).toEqual([
      ...alone.subarray(0, 12),
    ]);
  });

  it("differ between streams, positions and channels", () => {
    const all = [...noise({ tokens: 5 }, "random_uniform"), ...noise({ tokens: 5 }, "random_uniform", 4)];
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((v) => v >= 0 && v < 1)).toBe(true);
  });
});

describe("sequences", () => {
  it("are evaluated alike alone and in a batch", { tags: "long" }, () => {
    // Every sample of rows: each sequence of the batch has the same result if it runs alone.
    let compared = 0;
    for (const { op, sample } of allSamples) {
      const { graph, options } = caseOf(op, sample);
      const batch = sample.setting?.batch ?? 1;
      if (
        batch === 1 ||
        graph.inputs.some((i) => !i.packing) ||
        !graph.outputs.every((o) => o.packing) ||
        ROWS_OF_A_BATCH.has(op)
      )
        continue;
      const lengths = sample.setting?.lengths ?? new Array<number>(batch).fill(sample.setting?.tokens ?? 1);
      const together = evaluate(graph, options).outputs;
      for (let b = 0; b < batch; b++) {
        const inputs = new Map(graph.inputs.map((i) => [i.name, row(options.inputs.get(i.name)!, b)]));
        const alone = evaluate(graph, { ...options, inputs, lengths: [lengths[b]!] }).outputs;
        for (const { name, packing } of graph.outputs) {
          const [own, whole] = [alone.get(name)!, row(together.get(name)!, b)];
          expect([...own.data], `${op}: ${sample.name}`).toEqual([...cut(whole, own.shape, packing!.tokenDim)]);
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(200);
  });
});

/** Operators whose results are numbers of packed rows, in another order than rows, or sums over all of them. */
const ROWS_OF_A_BATCH: ReadonlySet<string> = new Set([
  "top",
  "above",
  "append",
  "last",
  "span",
  "join",
  "pick",
  "segments",
  "shifted_rows",
  "sort_entries",
  "entry_rows",
  "grouped_matmul",
]);

const row = ({ shape, data }: { readonly shape: readonly number[]; readonly data: Float64Array }, b: number) => {
  const size = data.length / shape[0]!;
  return { shape: [1, ...shape.slice(1)], data: data.subarray(b * size, b * size + size) };
};

/** The first `to[dim]` entries along the token dimension. */
function cut(
  { shape, data }: { readonly shape: readonly number[]; readonly data: Float64Array },
  to: readonly number[],
  dim: number,
) {
  const inner = shape.slice(dim + 1).reduce((a, b) => a * b, 1);
  return data.filter((_, i) => Math.floor(i / inner) % shape[dim]! < to[dim]!);
}

describe("literals", () => {
  it.each([
    [1, "f32", "1f"],
    [-2.5, "f32", "(-2.5f)"],
    [0.1, "f32", "0.10000000149011612f"],
    [1e30, "f32", "1.0000000150474662e+30f"],
    [Infinity, "f32", "modc_bits(0x7f800000u)"],
    [NaN, "f32", "modc_bits(0x7fc00000u)"],
    [-0, "f32", "modc_bits(0x80000000u)"],
    [1e-40, "f32", "modc_bits(0x000116c2u)"],
    [1e40, "f32", "modc_bits(0x7f800000u)"],
    [2049, "f16", "2048f"],
    [7, "u32", "7u"],
    [0xffffffff, "u32", "4294967295u"],
    [-7, "i32", "(-7i)"],
    [-0x80000000, "i32", "bitcast<i32>(0x80000000u)"],
    [1, "bool", "true"],
  ] as const)("%d of %s is %s", (value, dtype, text) => {
    expect(wgslLiteral(value, dtype)).toBe(text);
  });
});
