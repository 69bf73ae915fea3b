// An encoder-decoder learns from records with a source and a text, each along its own axis and of its own length: the
// losses and gradients of a step, and of `modc eval`, are those of the reference.
import { afterAll, beforeAll, expect, it } from "vitest";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { initialValues } from "../../../src/runtime/index.js";
import { asProgramWeight } from "../../../src/runtime/program/program.js";
import { openData } from "../../../src/tools/train/data-node.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { START } from "../../../src/tools/train/windows.js";
import { exampleSource, lowered } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { modc, root } from "../cli/spawn.js";
import { scratch } from "./folder.js";

const place = scratch();
afterAll(place.remove);
const SET = { dim: "32", heads: "2", depth: "2", capacity: "50%" };
const SEED = 5;
const CONTEXT = 48;
const source = exampleSource("inputs/translate.mod");
const optimizer = { kind: "sgd", momentum: 0, nesterov: false } as const;
const rng = random(11);
const text = (length: number): string => String.fromCharCode(...Array.from({ length }, () => 97 + rng.below(26)));
const LENGTHS = [
  [9, 31],
  [40, 4],
  [17, 18],
] as const;
const rows = LENGTHS.map(([s, t]) => ({ source: text(s), tokens: text(t) }));
const { model, graph } = lowered(source, { set: SET });
/** The values of `--seed`. */
const weights = new Map(model.weights.map((weight) => [weight.path, initialValues(asProgramWeight(weight), SEED)]));

let together: Batch;
let alone: readonly Batch[];
let data: string;
beforeAll(async () => {
  const run = trainingModel({ source: { file: "m.mod", text: source }, read: () => null }, { set: SET }).model.run;
  const batchOf = async (own: readonly object[], name: string): Promise<Batch> => {
    const path = place.file(name, own.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const settings = { batch: own.length, context: CONTEXT, seed: 1, validation: 0, validationWindows: 0 };
    const opened = await openData({ data: path, cache: `${place.path}/cache` }, run, settings);
    const { batch } = await opened.next(START);
    await opened.close();
    return batch;
  };
  data = place.file("all.jsonl", "");
  together = await batchOf(rows, "all.jsonl");
  alone = await Promise.all(rows.map((row, i) => batchOf([row], `${i}.jsonl`)));
});

/** The reference's results for a batch, with `fill` beyond the lengths of the sources and texts. */
function referenceOf(batch: Batch, fill: number): ReadonlyMap<string, Tensor> {
  const axes = { source: "S", tokens: "T", targets: "T" } as const;
  const inputs = new Map(
    Object.entries(axes).map(([name, axis]) => {
      const { length, lengths } = batch.axes![axis]!;
      const values = Float64Array.from(batch.inputs[name]!, (x, i) =>
        name !== "targets" && i % length >= (lengths?.[Math.floor(i / length)] ?? length) ? fill : x,
      );
      return [name, { shape: [batch.rows, length], data: values }] as const;
    }),
  );
  const lengths = Object.fromEntries(
    Object.entries(batch.axes!).flatMap(([axis, each]) => (each.lengths ? [[axis, each.lengths] as const] : [])),
  );
  return evaluate(withGradients(graph, model.weights), {
    inputs,
    lengths,
    weights: new Map(model.weights.map(({ path, shape }) => [path, { shape, data: weights.get(path)! }])),
  }).outputs;
}
const lossOf = (outputs: ReadonlyMap<string, Tensor>, name: string): number => outputs.get(name)!.data[0]!;

it("the reference's loss is the mean over the targets of each record alone, whatever the padding holds", () => {
  expect(Object.keys(together.axes!)).toEqual(["S", "T"]);
  const each = alone.map((batch) => lossOf(referenceOf(batch, 0), "loss.next"));
  const counts = alone.map(({ weight }) => weight!);
  expect(counts.toSorted((a, b) => a - b)).toEqual(LENGTHS.map(([, t]) => t).toSorted((a, b) => a - b));
  const mean = each.reduce((sum, loss, i) => sum + loss * counts[i]!, 0) / counts.reduce((a, b) => a + b, 0);
  for (const fill of [0, 99]) expect(lossOf(referenceOf(together, fill), "loss.next")).toBeCloseTo(mean, 10);
});

it("a step has the losses and gradients of the reference", { tags: "long" }, async () => {
  const wanted = referenceOf(together, 0);
  const device = await testDevice("default");
  const { programs, diagnostics } = compileTraining(
    { source, file: "translate.mod", set: SET },
    { optimizer, clip: null, microBatches: 1 },
    { target: device.target },
  );
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  const trainer = await createTrainer({
    programs: programs!,
    device,
    weights: ({ path }) => weights.get(path)!,
    optimizer,
    weightDecay: 0,
    rows: together.rows,
    length: CONTEXT,
    microBatches: 1,
    seed: 9,
  });
  const { losses } = await trainer.step([together], { learningRate: 1 });
  expect(losses["next"]! / lossOf(wanted, "loss.next")).toBeCloseTo(1, 5);
  const state = await trainer.state();
  trainer.dispose();
  for (const { path } of model.weights) {
    const gradient = wanted.get(`grad.${path}`)!.data;
    const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    expect(largest, `${path} has a gradient`).toBeGreaterThan(1e-6);
    const before = weights.get(path)!;
    const found = state.get(path)!.data;
    const furthest = gradient.reduce((most, g, i) => Math.max(most, Math.abs(before[i]! - found[i]! - g)), 0);
    // The weights are rounded to f32, so their difference has about 1e-7 of the weight.
    expect(furthest, path).toBeLessThan(1e-3 * largest + 3e-7);
  }
});

it("modc eval has the reference's loss", { tags: "long" }, async () => {
  const set = Object.entries(SET).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  const args = ["eval", `${root}/examples/inputs/translate.mod`, ...set, "--seed", `${SEED}`, "--data", data, "--json"];
  const { status, stdout, stderr } = await modc(args);
  expect(status, stderr).toBe(0);
  const { tokens, rules } = JSON.parse(stdout) as {
    readonly tokens: number;
    readonly rules: Readonly<Record<"top-k", { readonly loss: number }>>;
  }; // as eval --json prints it
  // each text with the token that ends it
  expect(tokens).toBe(LENGTHS.reduce((sum, [s, t]) => sum + s + 1 + t + 1, 0));
  expect(rules["top-k"].loss / lossOf(referenceOf(together, 0), "loss.next")).toBeCloseTo(1, 5);
});
