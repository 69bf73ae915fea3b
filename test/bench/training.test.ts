// The training bench's judgements: a wrong result is reported as wrong, and figures are computed correctly.
import { describe, expect, it } from "vitest";
import { prepareTraining, trainCases } from "../../bench/training/cases.js";
import { CHECKED_STEPS, computeSteps, differencesOf, type Expected } from "../../bench/training/expected.js";
import { compileSteps } from "../../bench/training/modc.js";
import type { MeasuredTraining } from "../../bench/training/measure.js";
import { trainingMusts } from "../../bench/training/musts.js";
import { decays, TRAINERS, type Standing, type TrainerName } from "../../bench/training/protocol.js";
import { trainingSections } from "../../bench/training/report.js";
import { PORTABLE } from "../../src/runtime/program/target.js";
import { held, stored } from "../../bench/training/trainee.js";

const wanted: Expected = {
  losses: [3, 2, 1],
  moments: [
    ["a", Float64Array.of(0.5, -1)],
    ["b", Float64Array.of(1e-3, 2e-3)],
  ],
  weights: [
    ["a", Float64Array.of(1, 2)],
    ["b", Float64Array.of(3, 4)],
  ],
};
const floats = (
  values: Expected["weights"],
  change: (path: string, i: number) => number = () => 0,
): Standing["weights"] => values.map(([path, data]) => [path, Float32Array.from(data, (v, i) => v + change(path, i))]);
const off = (losses: readonly number[], moments: Standing["moments"], weights: Standing["weights"]) =>
  differencesOf(wanted, losses, { weights: [], moments }, { weights, moments: [] }, 1e-3);
const exact = [floats(wanted.moments), floats(wanted.weights)] as const;

describe("differences from the reference", () => {
  it("are those from steps that a trainer of modc makes", () => {
    const data = prepareTraining({ ...trainCases[0]!, id: "train-tiny", B: 1, T: 8, dim: 16, heads: 2, depth: 1 });
    const { losses, moments, weights } = computeSteps(compileSteps(data, PORTABLE).graph, data);
    expect(losses).toHaveLength(CHECKED_STEPS);
    // Nearly as bad as a guess among 256.
    for (const loss of losses) expect(Math.abs(loss - Math.log(256))).toBeLessThan(3);
    expect(moments.map(([path]) => path)).toEqual(data.weights.map(([path]) => path));
    weights.forEach(([, values], i) => expect(values).not.toEqual(Float64Array.from(data.weights[i]![1].data)));
  });
  it("are those of rounding where nothing is wrong", () => {
    const found = off(wanted.losses, ...exact);
    for (const value of Object.values(found)) expect(value).toBeLessThan(1e-4);
  });

  it("are relative to a loss, to the largest gradient of each weight, and to a step of the optimiser", () => {
    expect(off([3, 2, 1.01], ...exact).loss).toBeCloseTo(0.01, 6);
    expect(
      off(
        wanted.losses,
        floats(wanted.moments, (path, i) => (path === "b" && i === 0 ? 1e-3 : 0)),
        exact[1],
      ).gradient,
    ).toBeCloseTo(0.5, 4);
    expect(
      off(
        wanted.losses,
        exact[0],
        floats(wanted.weights, (path, i) => (path === "a" && i === 1 ? 1e-3 : 0)),
      ).weight,
    ).toBeCloseTo(0.5, 2);
  });

  it("have no bound where a number, a step or a weight is missing", () => {
    expect(off([3, 2], ...exact).loss).toBe(Infinity);
    expect(off([3, NaN, 1], ...exact).loss).toBe(Infinity);
    expect(off(wanted.losses, exact[0].slice(1), exact[1]).gradient).toBe(Infinity);
    expect(
      off(
        wanted.losses,
        exact[0],
        floats(wanted.weights, (path) => (path === "a" ? NaN : 0)),
      ).weight,
    ).toBe(Infinity);
    expect(off(wanted.losses, exact[0], exact[1].slice(1)).weight).toBe(Infinity);
  });
});

describe("the models", () => {
  const data = prepareTraining({
    ...trainCases.find((c) => c.id === "train-mod")!,
    dim: 16,
    heads: 2,
    depth: 2,
    T: 16,
  });

  it("give peers the matrices of their layers transposed, and take them back as they were", () => {
    for (const [path, sent] of data.weights) {
      const own = held(path, sent);
      if (path.endsWith("mlp.up.weight")) expect(own.shape).toEqual(sent.shape.toReversed());
      if (path === "embed.table") expect(own.shape).toEqual(sent.shape);
      expect(stored(path, sent.shape, own.data)).toEqual(Float32Array.from(sent.data));
    }
  });

  it("decay their matrices but not the embedding, norms and biases", () => {
    const decaying = data.weights.flatMap(([path, sent]) => (decays(path, sent) ? [path] : []));
    expect(decaying).toContain("layers.1.router.weight");
    expect(decaying).toContain("layers.0.inner.attn.q.weight");
    expect(
      decaying.filter((path) => path.endsWith("bias") || path.endsWith("norm.weight") || path === "embed.table"),
    ).toEqual([]);
  });

  it("learn from a token what follows it", () => {
    const { tokens, targets } = data.batches[0]!;
    expect(data.batches.length).toBeGreaterThanOrEqual(CHECKED_STEPS);
    expect(targets.subarray(0, 15)).toEqual(tokens.subarray(1, 16));
    expect(targets.subarray(16, 31)).toEqual(tokens.subarray(17, 32));
  });
});

const measured = (
  id: string,
  times: Partial<Record<TrainerName, number[]>>,
  more: Partial<MeasuredTraining> = {},
): MeasuredTraining => ({
  case: trainCases.find((c) => c.id === id)!,
  steps: 10,
  times: new Map(Object.entries(times) as [TrainerName, number[]][]),
  firsts: new Map(),
  differences: new Map(),
  faults: new Map(),
  flops: 1e9,
  activationBytes: 1e9,
  ...more,
});

describe("figures", () => {
  it("compare with the faster peer, round by round", () => {
    const [dense, mod] = trainingMusts([
      measured("train-dense", { modc: [10, 20, 30], jax: [50, 100, 150], tfjs: [60, 90, 100] }),
    ]);
    expect(dense).toMatchObject({ got: "4.50 × (3.33 × to 6.00 ×) of TensorFlow.js", verdict: "met" });
    expect(mod).toMatchObject({ got: null, verdict: "not measured" });
  });

  it("divide the ratio of times by that of operations, and leave the streams out of memory", () => {
    const stream = 1024 * 512 * 4;
    const rows = trainingMusts([
      measured("train-layer-dense", { modc: [100] }, { flops: 10e9, activationBytes: 12 * stream }),
      measured("train-layer-mod", { modc: [20] }, { flops: 1.25e9, activationBytes: 5 * stream }),
    ]);
    expect(rows[3]).toMatchObject({ got: "1.60 (1.60 to 1.60); FLOP ratio 0.1250", verdict: "missed" });
    expect(rows[4]).toMatchObject({ got: "0.300", verdict: "missed" });
  });

  it("of peers that fail are their faults", () => {
    const text = trainingSections([
      measured("train-dense", { modc: [10] }, { faults: new Map([["jax", "wrong: the loss is off by 1.0e-1"]]) }),
    ]).join("\n");
    expect(text).toContain("| decoder, dense | 10.0 (10.0–10.0) | wrong |");
    expect(text).toContain("- jax-js, decoder, dense: wrong: the loss is off by 1.0e-1");
    expect(TRAINERS).toContain("modc");
  });
});
