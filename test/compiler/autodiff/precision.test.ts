// Mixed precision: products of a training step read operands rounded to bf16 or f16. Against PyTorch, in 64 bits on
// both sides with the same roundings, and on the device against the reference.
import { beforeAll, describe, expect, it } from "vitest";
import { GOOD_STEPS, GROWS_AFTER, SCALE, SCALING } from "../../../src/compiler/autodiff/loss-scale.js";
import { RATES } from "../../../src/compiler/autodiff/train-step.js";
import { programFor } from "../../../src/compiler/compile.js";
import type { Graph, Node } from "../../../src/compiler/ir/graph.js";
import { isOp, nodesOf } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { graphsOf, roundedAs } from "../../../src/compiler/recipes.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { REDUCED_TYPES, type ReducedType } from "../../../src/ground/base/dtype.js";
import type { Device } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { expectClose } from "../../close.js";
import { onDevice, randomWeights, reference, sessionOf, type Case, type GivenInput } from "../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import { exampleSource, lowered } from "./models.js";

const [BATCH, TOKENS, VOCAB] = [2, 12, 17];
const SET = { vocab: `${VOCAB}`, dim: "16", heads: "2", context: "16", capacity: "25%", depth: "4" };
const MOBY = exampleSource("moby.mod");
const TOO_LARGE = 2 ** 19;
const LAYERS = ["dense", "mod", "dense", "mod"];
const RATE = [0.005, 0.01, 0.02, 0.005];
const [BETA1, BETA2, EPS, DECAY, CLIP] = [0.9, 0.95, 1e-8, 0.1, 0.5];

const stepOf = (products: ReducedType | undefined) => {
  const { graph, model } = lowered(MOBY, { set: SET });
  const optimizer = { kind: "adamw", beta1: BETA1, beta2: BETA2, eps: EPS } as const;
  const training = { optimizer, clip: CLIP, accumulated: false, products };
  return { model, graph: graphsOf(model, { lowered: graph, training }).optimized("train-step"), lowered: graph };
};

/** The distance of two lists of tensors relative to the length of the second. */
function distance(found: readonly ArrayLike<number>[], wanted: readonly ArrayLike<number>[]): number {
  let [apart, length] = [0, 0];
  wanted.forEach((data, n) => {
    for (let i = 0; i < data.length; i++) {
      apart += (found[n]![i]! - data[i]!) ** 2;
      length += data[i]! ** 2;
    }
  });
  return Math.sqrt(apart / length);
}

describe("a step whose products round their operands", () => {
  it.each(REDUCED_TYPES)("is sound, and its text is read back, in %s", (to) => {
    const { graph } = stepOf(to);
    expect(verify(graph, ops)).toEqual([]);
    const text = printGraph(graph);
    expect(text).toContain(`"roundsB":"${to}"`);
    expect(text).toContain(`reduce_precision {"to":"${to}"}`);
    expect(printGraph(parseGraph(text, ops))).toBe(text);
  });

  it("rounds every product but those of one column and those that choose", () => {
    const moe = lowered(exampleSource("moe.mod"), { set: { dim: "16", heads: "2", depth: "1", vocab: "11" } });
    const { graph } = { graph: graphsOf(moe.model, { training: training("bf16") }).optimized("train-step") };
    const products = nodesOf(graph).filter((n) => isOp(n, "matmul") || isOp(n, "grouped_matmul"));
    const exact = products.filter((n) => n.attrs.roundsB === undefined);
    expect(exact.map((n) => n.origin!.path)).toEqual(["layers.0.inner.mlp.router"]);
    expect(products.length).toBeGreaterThan(10);
    const rounded = (x: Node): boolean => isOp(x, "reduce_precision");
    for (const product of products) expect(rounded(product.inputs[0])).toBe(product.attrs.roundsB !== undefined);
    for (const n of nodesOf(graph))
      if (isOp(n, "attention_kept") || isOp(n, "attention_grad"))
        expect(n.inputs.slice(0, 3).every(rounded)).toBe(true);
  });
});

const training = (products: ReducedType) =>
  ({
    optimizer: { kind: "adamw", beta1: BETA1, beta2: BETA2, eps: EPS },
    clip: CLIP,
    accumulated: false,
    products,
  }) as const;

interface Answer {
  readonly losses: readonly number[];
  /** The scale after each step. */
  readonly scales: readonly number[];
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

describe.skipIf(!hasTorch)(`PyTorch with rounded operands${torchNote}`, { timeout: 240_000 }, () => {
  const { model } = lowered(MOBY, { set: SET });
  const rng = random(7);
  const weights = model.weights.map(({ path, shape }) => {
    const value = shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => rng.normal() / Math.sqrt(shape.at(-1)!);
    return { path, shape, data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) };
  });
  const tokens = (): number[] =>
    Array.from({ length: BATCH * TOKENS }, (_, at) => (at % TOKENS === 0 ? 0 : 1 + rng.below(VOCAB - 1)));
  const inputs = new Map(["tokens", "targets"].map((name) => [name, { shape: [BATCH, TOKENS], data: tokens() }]));
  const rows = (data: readonly number[]) =>
    Array.from({ length: BATCH }, (_, b) => data.slice(b * TOKENS, (b + 1) * TOKENS));
  /** At a scale of 2^18 some gradients of the model are infinite in f16, at 2^17 none is. */
  const CASES = [
    { name: "in bf16", products: "bf16", scale: 1, good: 0, scales: null },
    { name: "in f16", products: "f16", scale: 65536, good: 0, scales: [65536, 65536, 65536, 65536] },
    {
      name: "in f16, where the scale doubles",
      products: "f16",
      scale: 2048,
      good: 998,
      scales: [2048, 4096, 4096, 4096],
    },
    {
      name: "in f16, where it is too large",
      products: "f16",
      scale: TOO_LARGE,
      good: 999,
      scales: [0.5, 0.25, 0.25, 0.25].map((x) => x * TOO_LARGE),
    },
  ] as const;
  let asked: Promise<readonly Answer[]>;
  beforeAll(() => {
    asked = askTorch(
      new URL("precision.py", import.meta.url),
      CASES.map(({ products, scale, good }) => ({
        products,
        scale,
        good,
        grows_after: GROWS_AFTER,
        layers: LAYERS,
        heads: 2,
        capacity: 0.25,
        objective: "next_token",
        inputs: Object.fromEntries([...inputs].map(([name, { data }]) => [name, rows(data)])),
        rates: RATE,
        betas: [BETA1, BETA2],
        eps: EPS,
        decay: DECAY,
        decays: weights.filter((w) => w.shape.length >= 2 && w.path !== "embed.table").map((w) => w.path),
        clip: CLIP,
        weights: Object.fromEntries(weights.map(({ path, shape, data }) => [path, { shape, data }])),
      })),
    );
  });

  // Sums of 64 bits in another order, relative to the largest value of a tensor; a rounding that this turns the other
  // way would be a thousand times as large.
  it.each(CASES.map((given, i) => ({ ...given, i })))(
    "is where the step is after four steps of AdamW $name",
    { tags: "long" },
    async ({ products, scale, good, scales, i }) => {
      const { graph } = stepOf(products);
      const started = new Map(weights.map((w) => [w.path, { shape: w.shape, data: w.data }]));
      const scalar = (value: number): Tensor => ({ dtype: "f32", shape: [], data: Float64Array.of(value) });
      const begun =
        scales === null
          ? []
          : ([
              [SCALE, scalar(scale)],
              [GOOD_STEPS, scalar(good)],
            ] as const);
      let states: ReadonlyMap<string, Tensor> = new Map(begun);
      let updates = 0;
      const answer = (await asked)[i]!;
      const { losses, weights: after } = answer;
      if (scales !== null) expect(answer.scales).toEqual(scales);
      RATE.forEach((rate, n) => {
        const rates = { shape: [4], data: [rate, DECAY, 1 - BETA1 ** (updates + 1), 1 - BETA2 ** (updates + 1)] };
        const run = evaluate(graph, { inputs: new Map([...inputs, [RATES, rates]]), weights: started, states });
        expectClose(run.outputs.get("loss")!.data, losses.slice(n, n + 1), () => 1e-9, `loss of step ${n + 1}`);
        const [next, updated] = run.outputs.get(SCALING)?.data ?? [1, 1];
        expect(next).toBe(answer.scales[n]);
        if (updated === 0)
          for (const [path, { data }] of run.states)
            if (path !== SCALE && path !== GOOD_STEPS)
              expect([...data], path).toEqual([
                ...((states.get(path) ?? started.get(path))?.data ?? data.map(() => 0)),
              ]);
        updates += updated!;
        states = run.states;
      });
      expect(updates).toBe(products === "f16" && scale === TOO_LARGE ? 2 : 4);
      for (const { path } of weights) {
        const largest = after[path]!.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
        expectClose(states.get(path)!.data, after[path]!, () => 1e-8 * largest, path);
      }
    },
  );
});

describe("gradients on the device with rounded operands", () => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });
  const MOE = { dim: "16", heads: "2", depth: "1", vocab: "17", context: "16" };
  const CASES = [
    ["routed layers with predictors", MOBY, { ...SET, depth: "2" }],
    ["a mixture of experts", exampleSource("moe.mod"), MOE],
  ] as const;

  // Where f32 sums on the device turn a rounding the other way, one operand differs by a unit of the type. Few do: the
  // device must be five times as near to the reference with these roundings as that is to one without.
  it.each(CASES.flatMap(([name, source, set]) => REDUCED_TYPES.map((to) => ({ name, source, set, to }))))(
    "of $name are the reference's in $to",
    { tags: "long", timeout: 240_000 },
    async ({ source, set, to }) => {
      const { graph: plain, model } = lowered(source, { set });
      const optimized = graphsOf(model, { lowered: plain }).optimized("gradients");
      const graph = roundedAs(optimized, { products: to });
      const program = programFor({ graph, model, sources: [] }, device.target);
      const weights = randomWeights(program, 11, 0.7);
      const rng = random(12);
      const inputs = graph.inputs.map(({ name, node }): [string, GivenInput] => {
        const values = Array.from({ length: BATCH * TOKENS }, () => rng.below(VOCAB));
        const data = node.attrs.dtype === "i32" ? Int32Array.from(values) : Uint32Array.from(values);
        return [name, { shape: [BATCH, TOKENS], data }];
      });
      const given: Case = { inputs: Object.fromEntries(inputs), seed: 3 };
      const session = await sessionOf(program, device, weights, { B: BATCH, T: TOKENS });
      const found = await onDevice(session, given).finally(() => session.dispose());
      const gradientsOf = (of: Graph): readonly ArrayLike<number>[] => {
        const { outputs } = reference(of, weights, given);
        return names.map((name) => outputs.get(name)!.data);
      };
      const names = graph.outputs.flatMap((o) => (o.name.startsWith("grad.") ? [o.name] : []));
      expect(names.length).toBe(model.weights.filter((w) => w.kind === "weight").length);
      const wanted = gradientsOf(graph);
      const rounding = distance(gradientsOf(optimized), wanted);
      expect(rounding).toBeGreaterThan(to === "bf16" ? 1e-3 : 1e-4);
      expect(
        distance(
          names.map((name) => found[name]!.data),
          wanted,
        ),
      ).toBeLessThan(rounding / 5);
    },
  );
});
