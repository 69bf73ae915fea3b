// The reference evaluator: lengths, choices of another run, states, and what it says about faulty inputs.
import { describe, expect, it } from "vitest";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { tensor } from "../../../src/compiler/ops/tensors.js";
import { evaluate, type EvaluateOptions } from "../../../src/compiler/reference/evaluate.js";
import { fromNested, InputError } from "../../../src/compiler/reference/inputs.js";
import { packRoute, packRows, unpackRows } from "../../../src/compiler/reference/pack.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { compiled, reference } from "../../end-to-end/model.js";

/** y = x + its own value in the rows that the rule chooses. */
const routed = (rule: string, choose: string): ReturnType<typeof parseGraph> =>
  parseGraph(
    `graph "routed"
axis B = batch
axis T = sequence <= 8 input
axis K = sequence ${rule}
live "capacity" ratio = 1/2
input "x" = %0 [B, T] packed T 0 1
%0 = input {"name":"x","dtype":"f32","shape":["rows(T)"]}()
%1 = starts {"axis":"T"}()
${choose}
%3 = pick {"result":0}(%2)
%4 = pick {"result":1}(%2)
%5 = take {"dim":0}(%0, %3)
%6 = put {"dim":0}(%0, %3, %5)
%7 = counts(%4)
starts T = %1
starts K = %4
result "output" = %6 [B, T] packed T 0 1
result "taken" = %5 [B, K] packed K 0 1
result "count" = %7 [B]
`,
    ops,
  );

const TOP = '%2 = top {"axis":"K"}(%0, %1, %1)';
const best = routed("top of T; k = ceil(live(capacity)*T)", TOP);
const above = routed(
  "above of T; expected = 1/8",
  '%9 = constant {"value":0,"dtype":"f32","shape":[]}()\n%2 = above {"axis":"K"}(%0, %9, %1)',
);

const run = (graph: typeof best, x: readonly (readonly number[])[], more: Partial<EvaluateOptions> = {}) =>
  evaluate(graph, { inputs: new Map([["x", x]]), weights: new Map(), ...more });
const values = (r: ReturnType<typeof run>, name: string): readonly number[] => [...r.outputs.get(name)!.data];

describe("sequences of unlike lengths", () => {
  const x = [
    [4, 1, 3, 2],
    [1, 2, 99, 99],
    [99, 99, 99, 99],
  ];

  it("choose by their own length, and are zero beyond it", () => {
    const r = run(best, x, { lengths: [4, 2, 0] });
    expect(values(r, "output")).toEqual([8, 1, 6, 2, 1, 4, 0, 0, 0, 0, 0, 0]);
    expect(values(r, "taken")).toEqual([4, 3, 2, 0, 0, 0]);
    expect(values(r, "count")).toEqual([2, 1, 0]);
  });

  it("are full without lengths", () => {
    expect(values(run(best, x), "count")).toEqual([2, 2, 2]);
  });

  it("do not change one another", () => {
    const together = values(run(best, x, { lengths: [4, 2, 3] }), "output");
    x.forEach((row, b) =>
      expect(values(run(best, [row], { lengths: [[4, 2, 3][b]!] }), "output")).toEqual(
        together.slice(b * 4, b * 4 + 4),
      ),
    );
  });

  it("choose by a live parameter", () => {
    expect(values(run(best, x, { live: new Map([["capacity", rational(1, 4)]]) }), "count")).toEqual([1, 1, 1]);
    expect(values(run(best, x, { live: new Map([["capacity", rational(0)]]) }), "output")).toEqual(x.flat());
  });

  it("above a threshold, have counts only the run knows", () => {
    const r = run(
      above,
      [
        [1, -1, 2],
        [-1, -1, -1],
        [1, 2, 3],
      ],
      { lengths: [3, 3, 2] },
    );
    expect(values(r, "count")).toEqual([2, 0, 2]);
    expect(r.outputs.get("taken")!.shape).toEqual([3, 2]);
    expect(values(r, "taken")).toEqual([1, 2, 0, 0, 1, 2]);
  });
});

describe("choices", () => {
  it("come with the margin by which they were made", () => {
    expect([
      ...run(
        best,
        [
          [4, 1, 3, 2.5],
          [1, 1, 1, 1],
          [1, 2, 0, 0],
        ],
        { lengths: [4, 4, 0] },
      ).routes.get("K")!.margins,
    ]).toEqual([0.5, 0, Infinity]);
    expect([
      ...run(above, [
        [0.25, -3],
        [-0.125, 7],
        [NaN, NaN],
      ]).routes.get("K")!.margins,
    ]).toEqual([0.25, 0.125, Infinity]);
    // −∞ is chosen where nothing better is left; NaN is never close to a number
    expect([
      ...run(best, [
        [Infinity, Infinity, 1, 1],
        [NaN, 5, NaN, 5],
        [-Infinity, -Infinity, 2, NaN],
      ]).routes.get("K")!.margins,
    ]).toEqual([Infinity, Infinity, 0]);
  });

  it("of another run are taken as they are, and the own ones told beside", () => {
    const forced = new Map([["K", packRoute([1, 2, 3, 0], 2, [2, 1], [0, 4, 8])]]);
    const r = run(
      best,
      [
        [4, 1, 3, 2],
        [1, 2, 3, 4],
      ],
      { forced },
    );
    expect(values(r, "output")).toEqual([4, 2, 6, 2, 1, 2, 3, 8]);
    expect([...r.routes.get("K")!.used.index.data]).toEqual([1, 2, 7]);
    expect([...r.routes.get("K")!.chosen.index.data]).toEqual([0, 2, 6, 7]);
    expect([...r.routes.get("K")!.margins]).toEqual([1, 1]);
    expect(values(r, "count")).toEqual([2, 1]);
  });

  it("of its own, when forced, change nothing", () => {
    const x = [
      [4, 1, 3, 2],
      [1, 2, 3, 4],
    ];
    const own = run(best, x);
    expect(run(best, x, { forced: new Map([["K", own.routes.get("K")!.used]]) }).outputs).toEqual(own.outputs);
  });
});

describe("states", () => {
  const counter = parseGraph(
    `graph "counter"
%0 = state {"name":"n","dtype":"f32","shape":[2]}()
%1 = constant {"value":1,"dtype":"f32","shape":[]}()
%2 = add(%0, %1)
%3 = state {"name":"w","dtype":"f32","shape":[2]}()
%4 = add(%3, %0)
state "n" f32[2] = zeros next %2
state "w" f32[2] = weight "path" next %4
result "old" = %0 [2]
`,
    ops,
  );
  const weights = new Map([["path", { shape: [2], data: [10, 20] }]]);

  it("begin as they say, and give their next values", () => {
    const first = evaluate(counter, { inputs: new Map(), weights });
    expect([...first.outputs.get("old")!.data]).toEqual([0, 0]);
    expect([...first.states].map(([n, t]) => [n, ...t.data])).toEqual([
      ["n", 1, 1],
      ["w", 10, 20],
    ]);
    const second = evaluate(counter, { inputs: new Map(), weights, states: first.states });
    expect([...second.states].map(([n, t]) => [n, ...t.data])).toEqual([
      ["n", 2, 2],
      ["w", 11, 21],
    ]);
  });

  it("need the weight they begin with", () => {
    expect(() => evaluate(counter, { inputs: new Map(), weights: new Map() })).toThrow(/there is no weight path/);
    expect(() =>
      evaluate(counter, { inputs: new Map(), weights: new Map([["path", { shape: [3], data: [1, 2, 3] }]]) }),
    ).toThrow(/weight path: expected \[2\], found \[3\]/);
  });
});

describe("faulty inputs", () => {
  const tokens = parseGraph(
    `graph "tokens"
axis B = batch
axis T = sequence <= 3 input
input "t" = %0 [B, T] packed T 0 1 from -1 below 5
input "w" = %1 [B, 2]
%0 = input {"name":"t","dtype":"i32","shape":["rows(T)"]}()
%1 = input {"name":"w","dtype":"bool","shape":["B",2]}()
%2 = starts {"axis":"T"}()
starts T = %2
result "t" = %0 [B, T] packed T 0 1
result "w" = %1 [B, 2]
`,
    ops,
  );
  const good = { t: [[1, 2, 3]], w: [[true, false]] };
  const give = (by: Partial<Record<"t" | "w" | "z", unknown>>, lengths?: readonly number[]) => () =>
    evaluate(tokens, {
      inputs: new Map(Object.entries({ ...good, ...by })) as EvaluateOptions["inputs"],
      weights: new Map(),
      ...(lengths ? { lengths } : {}),
    }); // faulty on purpose

  it("are not faulty when they fit", () => {
    expect([...give({})().outputs.get("w")!.data]).toEqual([1, 0]);
    expect(give({ t: { shape: [1, 2], data: [-1, 4] } })().outputs.get("t")!.shape).toEqual([1, 2]);
  });

  it.each<[name: string, run: () => unknown, message: RegExp]>([
    [
      "one missing",
      () => evaluate(tokens, { inputs: new Map([["t", [[1]]]]), weights: new Map() }),
      /input w is missing/,
    ],
    ["one too many", give({ z: 1 }), /there is no input z/],
    ["too few dimensions", give({ t: [1, 2] }), /input t: expected \[B, T\], found \[2\]/],
    ["another width", give({ w: [[true]] }), /input w: expected \[B, 2\], found \[1, 1\]/],
    [
      "another batch",
      give({
        w: [
          [true, true],
          [true, true],
        ],
      }),
      /input w: B is 1 elsewhere, found 2/,
    ],
    ["beyond the bound", give({ t: [[1, 1, 1, 1]] }), /input t: T must be at most 3, found 4/],
    ["no token", give({ t: [[]] }), /input t: T must be at least 1/],
    ["arrays of unlike lengths", give({ t: [[1, 2], [3]] }), /input t: nested arrays must be of equal lengths/],
    ["text", give({ t: [["a"]] }), /input t: nested arrays must be of equal lengths and hold numbers/],
    ["too few values", give({ t: { shape: [1, 3], data: [1] } }), /input t: shape \[1, 3\] holds 3 values, found 1/],
    ["a fraction", give({ t: [[1.5]] }), /input t: 1.5 is no i32/],
    ["no truth value", give({ w: [[2, 0]] }), /input w: 2 is no bool/],
    ["a value out of range", give({ t: [[1, 5]] }), /input t: values must lie from -1 to 4, found 5/],
    ["a negative value", give({ t: [[-2]] }), /input t: values must lie from -1 to 4, found -2/],
    ["too many lengths", give({}, [1, 1]), /lengths needs an entry for each sequence, 1 in all, not 2/],
    ["a length beyond T", give({}, [4]), /lengths\[0\] is 4: it must be a whole number from 0 to 3/],
  ])("%s", (_name, faulty, message) => {
    expect(faulty).toThrow(InputError);
    expect(faulty).toThrow(message);
  });

  it("are only looked at where tokens exist", () => {
    expect([...give({ t: [[1, 77, 88]] }, [1])().outputs.get("t")!.data]).toEqual([1, 0, 0]);
  });
});

describe("what is made in the size of a choice", () => {
  it("waits for the choice, whose count is known only then", () => {
    const source = `model M() {
      forward(x: f32[B, T <= 8, 2]) -> f32[B, T, 2] { x }
      objective(x: f32[B, T <= 8, 2]) {
        best = top(take(x, above(x[..., 0], 0.0)), 1, axis: -1)
        loss shares = sum(mean(f32(best.mask), axis: [0, 1]) ^ 2)
      }
    }`;
    const { graph } = compiled(source, { phase: "train" });
    const x = { shape: [1, 4, 2], data: Float32Array.of(1, 2, -1, 5, 4, 3, 6, 1) };
    const { outputs } = reference(graph, new Map(), { inputs: { x } });
    expect(outputs.get("loss.shares")!.data[0]).toBeCloseTo(1 / 9 + 4 / 9, 12);
  });
});

describe("packing", () => {
  const starts = [0, 2, 2, 5];

  it.each([
    { batchDim: 0, tokenDim: 1, shape: [3, 4, 2] },
    { batchDim: 0, tokenDim: 2, shape: [3, 2, 4] },
    { batchDim: 1, tokenDim: 0, shape: [4, 3, 2] },
    { batchDim: 2, tokenDim: 0, shape: [4, 2, 3] },
    { batchDim: 1, tokenDim: 2, shape: [2, 3, 4] },
  ])("with the batch at $batchDim and tokens at $tokenDim is undone by unpacking", ({ batchDim, tokenDim, shape }) => {
    const packing = { axis: "T", batchDim, tokenDim };
    const x = tensor(
      "f32",
      shape,
      Float64Array.from({ length: 24 }, (_, i) => i + 1),
    );
    const packed = packRows(x, packing, starts);
    expect(packed.shape).toEqual(shape.map((s, d) => (d === tokenDim ? 5 : s)).filter((_, d) => d !== batchDim));
    const back = unpackRows(packed, packing, starts, 4);
    expect(packRows(back, packing, starts)).toEqual(packed);
    // Existing rows are unchanged, the rest is zero.
    const at = (i: number, d: number): number =>
      Math.floor(i / shape.slice(d + 1).reduce((a, b) => a * b, 1)) % shape[d]!;
    const existing = x.data.map((v, i) =>
      at(i, tokenDim) < starts[at(i, batchDim) + 1]! - starts[at(i, batchDim)]! ? v : 0,
    );
    expect(back.data).toEqual(existing);
  });

  it("turns nested arrays into rows", () => {
    expect(
      fromNested("x", [
        [[1], [2]],
        [[3], [4]],
      ]),
    ).toEqual({ shape: [2, 2, 1], data: Float64Array.of(1, 2, 3, 4) });
    expect(fromNested("x", 7)).toEqual({ shape: [], data: Float64Array.of(7) });
  });
});
