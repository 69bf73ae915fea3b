// Attention on matrix units agrees with the reference, given operands that an f16 holds: causal and not, windows,
// ragged and routed rows, groups of heads, heads that fill no matrix. Runs where Mesa's software device has such
// units.
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { roundToF16 } from "../../src/ground/base/f16.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import type { Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import {
  attentionName,
  attentionOnUnits,
  type MatrixAttention,
} from "../../src/compiler/schedule/tunings/attention.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { matrixDevice } from "../device.js";
import type { Case } from "../compiler/ops/bench.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { soaking } from "../soak.js";
import { runOnDevice } from "./operators.js";

let device: Device;
let missing: string | null = null;
beforeAll(async () => {
  const found = await matrixDevice();
  if (typeof found === "string") missing = found;
  else device = found;
});

/** Skips a test, with the reason, where there is no such device. */
const needsUnits = (context: TestContext): void => {
  if (missing !== null) context.skip(missing);
};

const PRECISION = { products: "f16" } as const;
const tuningsOf = (attention: MatrixAttention): Tunings => ({ ...tuningsFor(device.target), attention });
/** Small tiles with vectors, and with halves; in a soak every tiling: Mesa compiles each for a second. */
const ways = (): readonly MatrixAttention[] => {
  const all = attentionOnUnits(device.target);
  return [...all.slice(0, soaking ? undefined : 1), { ...all[0]!, keys: 32, vectors: false }];
};

/** The case with inputs that an f16 holds. */
const rounded = ({ graph, options }: Case): Case => ({
  graph,
  options: {
    ...options,
    inputs: new Map(
      [...options.inputs].map(([name, { shape, data }]) => [name, { shape, data: data.map(roundToF16) }]),
    ),
  },
});

/** Samples of other kernels' work: keys with weights, fewer queries than a matrix has rows, heads too wide. */
const OTHERS = /weight|^(heads of 256|wider heads|one chosen query|chosen rows$|chosen queries only|no queries at all)/;
/** Those of the short run: Mesa compiles a kernel for two seconds. */
const SOME = ["five heads that share keys, in tiles of eight", "an eighth of the rows, by position"];
const differentiated = samples.attention_grad.list.filter(({ name }) => soaking || name === SOME[1]);
const tried = samples.attention.list.filter(({ name }) => soaking || SOME.includes(name));

/** Of pairs: those that the two forms of tiles differ in; in a soak all with enough queries for a matrix. */
const OF_PAIRS = ["documents, several blocks of keys, causal", "a cap, a bias and weights of groups of heads"];
const pairs = samples.pair_attention.list.filter(({ name }) => soaking || OF_PAIRS.includes(name));

describe("attention of pairs on matrix units", () => {
  it.for(pairs.map((sample) => [sample.name, sample] as const))(
    "%s",
    { tags: "long", timeout: 120_000 },
    async ([name, sample], context) => {
      needsUnits(context);
      const of = rounded(caseOf("pair_attention", sample));
      const { outputs } = evaluate(of.graph, of.options);
      const largest = Math.max(0, ...[...of.options.inputs.values()].flatMap(({ data }) => Array.from(data, Math.abs)));
      const halves = of.graph.outputs.some(({ node }) => node.types[0]!.dtype === "f16");
      for (const tuning of ways()) {
        const tunings = tuningsOf(tuning);
        const { steps } = schedule(of.graph, device.target, tunings, PRECISION);
        const files = steps.flatMap((step) => (step.kind === "dispatch" ? [step.kernel.file] : []));
        if (OF_PAIRS.includes(name)) expect(files, attentionName(tuning)).toContain("attention_pairs_matrix");
        const results = await runOnDevice(device, of, device.target, tunings, PRECISION);
        for (const [output, { data }] of outputs) {
          const found = results[output]!.data;
          // The result is off as without pairs; logarithms of sums, of which HIGHEST says that there are none, are f32.
          const worst = data.reduce(
            (most, v, i) => Math.max(most, Math.abs(v - found[i]!) / Math.max(1, Math.abs(v))),
            0,
          );
          expect(worst, `${output}, ${attentionName(tuning)}`).toBeLessThanOrEqual(
            Math.max(1, largest) * (2 ** -11 * (halves ? 2 : 1) + 2 ** -16),
          );
        }
      }
    },
  );
});

describe("attention on matrix units", () => {
  it.for(tried.map((sample) => [sample.name, sample] as const))(
    "%s",
    { tags: "long" },
    async ([name, sample], context) => {
      needsUnits(context);
      const of = rounded(caseOf("attention", sample));
      const { outputs } = evaluate(of.graph, of.options);
      const largest = Math.max(0, ...[...of.options.inputs.values()].flatMap(({ data }) => Array.from(data, Math.abs)));
      const halves = of.graph.outputs.some(({ node }) => node.types[0]!.dtype === "f16");
      // Each weight is rounded to eleven bits, and so is a result in f16; all else is in f32.
      const allowed = largest * (2 ** -11 * (halves ? 2 : 1) + 2 ** -16);
      for (const tuning of ways()) {
        const tunings = tuningsOf(tuning);
        const { steps } = schedule(of.graph, device.target, tunings, PRECISION);
        const files = steps.flatMap((step) => (step.kind === "dispatch" ? [step.kernel.file] : []));
        expect(files.includes("attention_matrix"), attentionName(tuning)).toBe(!OTHERS.test(name));
        const results = await runOnDevice(device, of, device.target, tunings, PRECISION);
        for (const [output, { data }] of outputs) {
          const found = results[output]!.data;
          const worst = data.reduce((most, v, i) => Math.max(most, Math.abs(v - found[i]!)), 0);
          expect(worst, attentionName(tuning)).toBeLessThanOrEqual(allowed);
        }
      }
    },
  );

  it.for(differentiated.map((sample) => [sample.name, sample] as const))(
    "gradient: %s",
    { tags: "long", timeout: 120_000 },
    async ([name, sample], context) => {
      needsUnits(context);
      const of = rounded(caseOf("attention_grad", sample));
      const { outputs } = evaluate(of.graph, of.options);
      const halves = of.graph.outputs.some(({ node }) => node.types[0]!.dtype === "f16");
      for (const tuning of ways()) {
        const tunings = tuningsOf(tuning);
        const { steps } = schedule(of.graph, device.target, tunings, PRECISION);
        const files = steps.flatMap((step) => (step.kind === "dispatch" ? [step.kernel.file] : []));
        expect(files.includes("attention_matrix_grad"), attentionName(tuning)).toBe(!/weights|wide/.test(name));
        const results = await runOnDevice(device, of, device.target, tunings, PRECISION);
        for (const [output, { data }] of outputs) {
          const found = results[output]!.data;
          const largest = data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
          const worst = data.reduce((most, v, i) => Math.max(most, Math.abs(v - found[i]!)), 0);
          // Weights and changes are rounded to eleven bits, those behind y, and so delta, too; sums of them differ from
          // zero less than their parts do. In f16 delta is a sum of rounded products.
          expect(worst, `${output}, ${attentionName(tuning)}`).toBeLessThanOrEqual(largest * 2 ** (halves ? -8 : -9));
        }
      }
    },
  );

  it.for([0.5, 4, 60])(
    "whose scores grow from key to key, %f times as much",
    { timeout: 120_000 },
    async (growth, context) => {
      needsUnits(context);
      const { graph, options } = rounded(
        caseOf(
          "attention",
          samples.attention.list.find(({ name }) => name === SOME[0])!,
        ),
      );
      const [, second] = [...options.inputs.keys()];
      const inputs = new Map(options.inputs);
      const { shape, data } = inputs.get(second!)!;
      // Rows one after another, each times what grows with its number.
      const [rows, width] = [shape.at(-2)!, shape.at(-1)!];
      const grown = data.map((x, i) => roundToF16((x * growth * ((Math.floor(i / width) % rows) + 1)) / rows));
      inputs.set(second!, { shape, data: grown });
      const of: Case = { graph, options: { ...options, inputs } };
      const { outputs } = evaluate(of.graph, of.options);
      for (const tuning of ways()) {
        const results = await runOnDevice(device, of, device.target, tuningsOf(tuning), PRECISION);
        for (const [output, wanted] of outputs) {
          const largest = wanted.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
          const found = results[output]!.data;
          const worst = wanted.data.reduce((most, v, i) => Math.max(most, Math.abs(v - found[i]!)), 0);
          // Weights are rounded to eleven bits, scores of hundreds to 2^-16.
          expect(worst / largest, attentionName(tuning)).toBeLessThan(2 ** -9);
        }
      }
    },
  );

  it("is left to other kernels where nothing lets them round", (context) => {
    needsUnits(context);
    const { graph } = caseOf(
      "attention",
      samples.attention.list.find(({ name }) => name === SOME[0])!,
    );
    const { steps } = schedule(graph, device.target, tuningsOf(ways()[0]!), {});
    const files = steps.flatMap((step) => (step.kind === "dispatch" ? [step.kernel.file] : []));
    expect(files.filter((file) => file.startsWith("attention"))).toEqual(["attention_row", "attention_subgroup"]);
  });
});
