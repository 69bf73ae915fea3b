// What Mixture-of-Depths means, as the paper and the language fix it, held on the reference and on the device.
import { describe, expect, it } from "vitest";
import { testDevice } from "../device.js";
import { expectAgreement, type Tally } from "../end-to-end/agree.js";
import {
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Compiled,
  type Weights,
} from "../end-to-end/model.js";
import {
  byHand,
  byLibrary,
  calledTwice,
  denseLayer,
  nestedRoutes,
  randomScores,
  recursions,
  routedLayer,
} from "./sources.js";

const D = 16;
/** A few layers of width 16 in f32 against 64 bits, values up to 150: the largest error was 0.3 of this. */
const LAYER = { atol: 5e-6, rtol: 5e-6 };

/** The same case in the reference and on the device, checked against each other. */
async function both(
  { program, graph }: Compiled,
  weights: Weights,
  given: Case,
): Promise<{
  readonly output: Float32Array;
  readonly reference: ArrayLike<number>;
  readonly results: Awaited<ReturnType<typeof onDevice>>;
}> {
  const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
  const results = await onDevice(session, given);
  const tally: Tally = { choices: 0, forced: 0 };
  expectAgreement(graph, weights, given, results, LAYER, tally);
  expect(tally.forced).toBe(0);
  session.dispose();
  return {
    output: results["output"]!.data as Float32Array,
    reference: reference(graph, weights, given).outputs.get("output")!.data,
    results,
  };
}

const bits = (x: Float32Array): number[] => [...new Uint32Array(x.buffer, x.byteOffset, x.length)];
const row = (data: ArrayLike<number>, T: number, b: number, t: number, d = D): number[] =>
  Array.from({ length: d }, (_, i) => data[(b * T + t) * d + i]!);

describe("a routed block", () => {
  it("of all tokens with a gate of 1 is the dense block (B1)", async () => {
    const routed = compiled(routedLayer({ chosen: "top(score, T)", gate: "1.0" }));
    const dense = compiled(denseLayer());
    const weights = randomWeights(routed.program, 1);
    const given = { inputs: { x: randomInput([2, 13, D], 2) } };
    const a = await both(routed, weights, given);
    const b = await both(dense, weights, given);
    // In 64 bits the two are the same sums in the same order; on the device their kernels may round an addition
    // otherwise.
    expect([...(a.reference as Float64Array)]).toEqual([...(b.reference as Float64Array)]);
    expect(furthest(a.output, b.output, 1e-6, 1e-6).ratio).toBeLessThan(1);
  });

  it("of no tokens is the identity, bit for bit (B2)", async () => {
    const routed = compiled(routedLayer({ chosen: "top(score, 0)", gate: "take(score, chosen)[..., None]" }));
    const x = randomInput([2, 13, D], 3);
    const { output } = await both(routed, randomWeights(routed.program, 1), { inputs: { x } });
    expect(bits(output)).toEqual(bits(x.data as Float32Array));
  });

  it("of all tokens with its own gate is not the dense block (B2)", async () => {
    const routed = compiled(routedLayer({ chosen: "top(score, T)", gate: "take(score, chosen)[..., None]" }));
    const dense = compiled(denseLayer());
    const weights = randomWeights(routed.program, 1);
    const given = { inputs: { x: randomInput([1, 13, D], 2) } };
    const a = await both(routed, weights, given);
    expect(furthest(a.output, (await both(dense, weights, given)).output, 1e-2, 1e-2).ratio).toBeGreaterThan(1);
  });

  it("leaves rows it did not choose as they were, bit for bit, and changes exactly k (B4)", async () => {
    const routed = compiled(
      routedLayer({ chosen: "top(score, ceil(12.5% * T))", gate: "take(score, chosen)[..., None]" }),
    );
    const x = randomInput([3, 41, D], 4);
    const { output, results } = await both(routed, randomWeights(routed.program, 5), { inputs: { x } });
    const index = results["chosen.index"]!;
    expect(index.shape).toEqual([3, 6]);
    for (let b = 0; b < 3; b++) {
      const chosen = [...index.data.subarray(b * 6, b * 6 + 6)];
      expect(chosen).toEqual([...chosen].sort((p, q) => p - q));
      expect(new Set(chosen).size).toBe(6);
      const changed = Array.from({ length: 41 }, (_, t) => t).filter((t) =>
        row(output, 41, b, t).some((v, i) => !Object.is(v, row(x.data, 41, b, t)[i])),
      );
      expect(changed).toEqual(chosen);
    }
  });

  it("takes the earlier of tokens with equal scores (B4)", async () => {
    const routed = compiled(routedLayer({ chosen: "top(score * 0.0, 5)", gate: "1.0" }));
    const { results } = await both(routed, randomWeights(routed.program, 5), {
      inputs: { x: randomInput([2, 23, D], 4) },
    });
    expect([...results["chosen.index"]!.data]).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
  });

  it("counts exactly k by its ratio, rounded as written (B5)", async () => {
    const counts = { floor: [0, 0, 1, 12, 64, 256], ceil: [1, 1, 1, 13, 64, 256] };
    for (const [fn, wanted] of Object.entries(counts)) {
      const routed = compiled(routedLayer({ chosen: `top(score, ${fn}(12.5% * T))`, gate: "1.0", context: 2048 }));
      const session = await sessionOf(routed.program, await testDevice(), randomWeights(routed.program, 5), {
        B: 1,
        T: 8,
      });
      for (const [i, T] of [1, 7, 8, 100, 512, 2048].entries()) {
        const results = await session.run({ x: randomInput([1, T, D], i) }, { outputs: ["chosen.count"] });
        expect([...results["chosen.count"]!.data], `${fn} at T = ${T}`).toEqual([wanted[i]]);
      }
      session.dispose();
    }
    const exact = compiled(routedLayer({ chosen: "top(score, floor(29% * T))", gate: "1.0", context: 128 }));
    const { results } = await both(exact, randomWeights(exact.program, 5), {
      inputs: { x: randomInput([1, 100, D], 9) },
    });
    expect([...results["chosen.count"]!.data]).toEqual([29]);
  });

  it("treats each sequence of a batch as if it were alone, and padding as if it were not there (B7)", async () => {
    const routed = compiled(byLibrary);
    const weights = randomWeights(routed.program, 6);
    const session = await sessionOf(routed.program, await testDevice(), weights, { B: 3, T: 40 });
    const lengths = Uint32Array.of(40, 17, 29);
    const x = randomInput([3, 40, D], 8);
    const { output } = await session.run({ x }, { lengths });
    for (let b = 0; b < 3; b++) {
      const n = lengths[b]!;
      const alone = await session.run({
        x: { shape: [1, n, D], data: (x.data as Float32Array).slice(b * 40 * D, (b * 40 + n) * D) },
      });
      expect([...output!.data.subarray(b * 40 * D, (b * 40 + n) * D)]).toEqual([...alone["output"]!.data]);
      expect(output!.data.subarray((b * 40 + n) * D, (b + 1) * 40 * D).every((v) => v === 0)).toBe(true);
    }
    const swapped = await session.run(
      { x: { shape: x.shape, data: Float32Array.from([...x.data.subarray(40 * D), ...x.data.subarray(0, 40 * D)]) } },
      { lengths: Uint32Array.of(17, 29, 40) },
    );
    expect([...swapped["output"]!.data.subarray(2 * 40 * D)]).toEqual([...output!.data.subarray(0, 40 * D)]);
    session.dispose();
  });

  it("attends as dense attention does with the keys of skipped tokens masked, at original positions (B9)", async () => {
    const routed = compiled(routedLayer({ chosen: "top(score, ceil(25% * T))", gate: "1.0" }));
    // The same sums, written over all tokens: keys that were not chosen get a weight of zero.
    const masked = compiled(`
import { Layer, Linear } from "std"
model Masked(dim: int = 16, heads: int = 2) {
  router: Linear(dim, 1, bias: false)
  inner:  Layer(dim, heads, hidden: 24)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    chosen = top(router(x)[..., 0], ceil(25% * T))
    n = inner.attn_norm(x)
    q = rope(rearrange(inner.attn.q(n), "b t (h d) -> b h t d", h: heads), 10000.0)
    k = rope(rearrange(inner.attn.k(n), "b t (h d) -> b h t d", h: heads), 10000.0)
    v = rearrange(inner.attn.v(n), "b t (h d) -> b h t d", h: heads)
    kept = f32(chosen.mask)
    later = position(x)[:, None, None, :] > position(x)[:, None, :, None]
    hidden = later or not (kept[:, None, None, :] > 0.0)
    s = where(hidden, -1e30, q @ transpose(k) * 0.35355339059327373)
    a = inner.attn.o(rearrange(softmax(s) @ v, "b h t d -> b t (h d)"))
    x + where(chosen.mask[..., None], a + inner.mlp(inner.mlp_norm(x + a)), x * 0.0)
  }
}`);
    const weights = randomWeights(routed.program, 7);
    const given = { inputs: { x: randomInput([2, 37, D], 8) }, lengths: Uint32Array.of(37, 20) };
    const a = await both(routed, weights, given);
    const b = await both(masked, weights, given);
    expect(furthest(a.reference, b.reference, 1e-9, 1e-9).ratio).toBeLessThan(1);
    expect(furthest(a.output, b.output, 1e-5, 1e-5).ratio).toBeLessThan(1);
  });

  it("is the same written out in primitives as by the library's MoD", async () => {
    const hand = compiled(byHand);
    const library = compiled(byLibrary);
    const weights = randomWeights(library.program, 11);
    const given = { inputs: { x: randomInput([2, 33, D], 12) } };
    const a = await both(hand, weights, given);
    const b = await both(library, weights, given);
    expect([...a.output]).toEqual([...b.output]);
  });

  it("may choose at random by changing only the score, the same for a seed whatever the batch (B12)", async () => {
    const control = compiled(randomScores);
    const routed = compiled(
      routedLayer({ chosen: "top(score, ceil(25% * T))", gate: "take(score, chosen)[..., None]" }),
    );
    const weights = randomWeights(control.program, 3);
    const given = { inputs: { x: randomInput([3, 40, D], 12) }, seed: 5 };
    const a = await both(control, weights, given);
    const again = await both(control, weights, given);
    const other = await both(control, weights, { ...given, seed: 6 });
    expect([...again.output]).toEqual([...a.output]);
    const index = a.results["chosen.index"]!.data;
    expect([...index.subarray(0, 10)]).toEqual([...index.subarray(10, 20)]);
    expect([...other.results["chosen.index"]!.data]).not.toEqual([...index]);
    expect([...a.results["chosen.count"]!.data]).toEqual([
      ...(await both(routed, weights, given)).results["chosen.count"]!.data,
    ]);
  });

  it("never chooses NaN while a number is left, and orders infinities and signed zeros (B16)", async () => {
    const scores = compiled(`
model Scores() {
  forward(s: f32[B, T <= 64], x: f32[B, T, 1]) -> f32[B, T, 1] {
    chosen = top(s, 3)
    observe chosen
    put(x, chosen, take(x, chosen))
  }
}`);
    const session = await sessionOf(scores.program, await testDevice(), new Map(), { B: 1, T: 8 });
    const x = { shape: [1, 6, 1], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const cases: readonly (readonly [readonly number[], readonly number[]])[] = [
      [
        [NaN, 1, NaN, -Infinity, 2, NaN],
        [1, 3, 4],
      ],
      [
        [Infinity, NaN, -1, Infinity, -Infinity, 0],
        [0, 3, 5],
      ],
      [
        [-0, 0, -0, 0, -1, NaN],
        [0, 1, 2],
      ],
      [
        [NaN, NaN, NaN, NaN, 7, NaN],
        [0, 1, 4],
      ],
      [
        [-1e-45, 0, 1e-45, -0, -1, -2],
        [1, 2, 3],
      ],
    ];
    for (const [s, wanted] of cases) {
      const given = { inputs: { s: { shape: [1, 6], data: Float32Array.from(s) }, x } };
      const results = await onDevice(session, given);
      expect([...results["chosen.index"]!.data], String(s)).toEqual(wanted);
      expectAgreement(scores.graph, new Map(), given, results, LAYER, { choices: 0, forced: 0 });
    }
    session.dispose();
  });
});

describe("routes", () => {
  it("nest: a routed block inside a routed block works on the original positions", async () => {
    const nested = compiled(nestedRoutes);
    const { results } = await both(nested, randomWeights(nested.program, 4), {
      inputs: { x: randomInput([3, 30, D], 5) },
      lengths: randomLengths(3, 30, 9),
    });
    const paths = Object.keys(results).filter((n) => n.endsWith(".index"));
    expect(paths.sort()).toEqual(["outer.chosen.index", "outer.inner.deep.chosen.index"]);
  });

  it("of one instance called twice are told apart, its weights shared", async () => {
    const twice = compiled(calledTwice);
    const { results } = await both(twice, randomWeights(twice.program, 4), {
      inputs: { x: randomInput([2, 30, D], 5) },
    });
    expect(
      Object.keys(results)
        .filter((n) => n.endsWith(".count"))
        .sort(),
    ).toEqual(["shared#0.chosen.count", "shared#1.chosen.count"]);
    expect(twice.program.weights.filter((w) => w.path.includes("router")).map((w) => w.path)).toEqual([
      "shared.router.weight",
    ]);
  });

  it("of recursions keep, at each step, a subset of the step before (B13)", async () => {
    const mor = compiled(recursions);
    const T = 30;
    const { results } = await both(mor, randomWeights(mor.program, 4), { inputs: { x: randomInput([2, T, D], 5) } });
    expect([...results["ra.count"]!.data, ...results["rb.count"]!.data, ...results["rc.count"]!.data]).toEqual([
      30, 30, 20, 20, 10, 10,
    ]);
    for (let b = 0; b < 2; b++) {
      const at = (name: string, k: number): number[] => [...results[name]!.data.subarray(b * k, (b + 1) * k)];
      const second = at("rb.index", 20).map((i) => at("ra.index", 30)[i]!);
      const third = at("rc.index", 10).map((i) => second[i]!);
      expect(new Set(second).size).toBe(20);
      expect(third.every((t) => second.includes(t))).toBe(true);
    }
  });

  it("by threshold take any number of tokens, also none and all", async () => {
    for (const threshold of ["-100.0", "0.0", "100.0"]) {
      const routed = compiled(
        routedLayer({ chosen: `above(score, ${threshold}, expected: 50%)`, gate: "take(score, chosen)[..., None]" }),
      );
      const { results } = await both(routed, randomWeights(routed.program, 4), {
        inputs: { x: randomInput([3, 30, D], 5) },
        lengths: Uint32Array.of(30, 0, 11),
      });
      const counts = [...results["chosen.count"]!.data];
      if (threshold === "-100.0") expect(counts).toEqual([30, 0, 11]);
      if (threshold === "100.0") expect(counts).toEqual([0, 0, 0]);
    }
  });

  it("by threshold give results as long as the longest choice, along one axis or two", async () => {
    const scores = compiled(`
model Scores() {
  forward(x: f32[B, T <= 16, 4]) -> (rows: f32[B, K, 4], scores: f32[B, K, K], mixed: f32[B, T, K]) {
    r = above(x[..., 0], 0.8)
    k = take(x, r)
    (k, k @ transpose(k), x @ transpose(k))
  }
}`);
    const session = await sessionOf(scores.program, await testDevice(), new Map(), { B: 1, T: 4 });
    for (const [B, T, bias] of [
      [3, 16, 0],
      [1, 1, 0],
      [2, 9, 5],
      [2, 9, -5],
    ] as const) {
      const x = randomInput([B, T, 4], T);
      const given = {
        inputs: { x: { shape: x.shape, data: (x.data as Float32Array).map((v) => v + bias) } },
        lengths: randomLengths(B, T, 3),
      };
      expectAgreement(scores.graph, new Map(), given, await onDevice(session, given), LAYER, { choices: 0, forced: 0 });
    }
    session.dispose();
  });
});
