// Each text of a record has its own sequence axis. A batch gives a text the same results as a batch with this text
// alone, and the padding has no effect.
import { afterAll, describe, expect, it } from "vitest";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { openData } from "../../../src/tools/train/data-node.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { START } from "../../../src/tools/train/windows.js";
import { exampleSource, lowered } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { scratch } from "./folder.js";

const place = scratch();
afterAll(place.remove);
const SET = { dim: "32", heads: "2", depth: "4", context: "48", capacity: "50%" };
const optimizer = { kind: "sgd", momentum: 0, nesterov: false } as const;
const rng = random(11);
const text = (length: number): string => String.fromCharCode(...Array.from({ length }, () => 97 + rng.below(26)));
const LENGTHS = [
  [9, 31],
  [40, 4],
  [17, 18],
] as const;
const rows = LENGTHS.map(([chosen, rejected]) => ({
  prompt: text(3),
  chosen: text(chosen),
  rejected: text(rejected),
  reference_chosen: -50 * rng.normal(),
  reference_rejected: -50 * rng.normal(),
  query: text(chosen),
  positive: text(rejected),
}));

/** The batch of all records, and for each record a batch with this record alone. */
async function batchesOf(source: string): Promise<{ readonly together: Batch; readonly alone: readonly Batch[] }> {
  const model = trainingModel({ source: { file: "m.mod", text: source }, read: () => null }, { set: SET }).model.run;
  const opened = async (own: readonly object[], name: string): Promise<Batch> => {
    const data = place.file(name, own.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const found = await openData({ data, cache: `${place.path}/cache` }, model, {
      batch: own.length,
      context: 48,
      seed: 1,
      validation: 0,
      validationWindows: 0,
    });
    const { batch } = await found.next(START);
    await found.close();
    return batch;
  };
  const together = await opened(rows, "all.jsonl");
  return { together, alone: await Promise.all(rows.map((row, i) => opened([row], `${i}.jsonl`))) };
}

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;
/** The same model with both texts along one axis. */
const shared = (source: string): string =>
  source.replaceAll("u32[B, S <= context]", "u32[B, T]").replaceAll("i32[B, S]", "i32[B, T]");

describe.each(["dpo", "reward"])("the texts of %s.mod", (name) => {
  const source = exampleSource(`objectives/${name}.mod`);
  const { model } = lowered(source, { set: SET });
  const draw = random(3);
  const weights = new Map(
    model.weights.map(({ path, shape }) => {
      const scale = shape.length < 2 ? 0.1 : 1 / Math.sqrt(shape.at(-1)!);
      const value = (): number => (shape.length < 2 && path.endsWith("norm.weight") ? 1 : 0) + scale * draw.normal();
      return [path, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value)];
    }),
  );

  it("have the reference's margins of each record alone, whatever the padding holds", async () => {
    const { together, alone } = await batchesOf(source);
    const graph = optimize(lowered(source, { set: SET }).graph);
    const margins = (batch: Batch, fill: number): readonly number[] => {
      const along = (axis: unknown): number => batch.axes![String(axis)]!.length;
      const inputs = new Map(
        model.inputs.map(({ name: input, type }) => {
          const [, axis] = type.shape;
          const width = axis === undefined ? 1 : along(typeof axis === "number" ? axis : axis.key);
          const own = axis === undefined || typeof axis === "number" ? undefined : batch.axes![axis.key]!.lengths;
          const data = Float64Array.from(batch.inputs[input]!, (x, i) =>
            i % width >= (own?.[Math.floor(i / width)] ?? width) ? fill : x,
          );
          return [input, { shape: width === 1 && axis === undefined ? [batch.rows] : [batch.rows, width], data }];
        }),
      );
      const lengths = Object.fromEntries(
        Object.entries(batch.axes!).flatMap(([axis, own]) => (own.lengths ? [[axis, own.lengths] as const] : [])),
      );
      const { outputs } = evaluate(graph, {
        inputs,
        weights: new Map(model.weights.map(({ path, shape }) => [path, { shape, data: weights.get(path)! }])),
        lengths,
      });
      return [...outputs.get("margin")!.data];
    };
    // An epoch has its own order of the records.
    const inOrder = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b);
    const each = inOrder(alone.flatMap((batch) => margins(batch, 7)));
    for (const fill of [0, 7]) expect(inOrder(margins(together, fill))).toEqual(each.map((m) => expect.closeTo(m, 9)));
  });

  const trainerOf = async (of: string): Promise<(rows: number) => Promise<Trainer>> => {
    const device = await testDevice("default");
    const { programs, diagnostics } = compileTraining(
      { source: of, file: `${name}.mod`, set: SET },
      { optimizer, clip: 0, microBatches: 1 },
      { target: device.target },
    );
    expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
    return (count) =>
      createTrainer({
        programs: programs!,
        device,
        weights: ({ path }) => weights.get(path)!,
        optimizer,
        weightDecay: 0,
        rows: count,
        length: 48,
        microBatches: 1,
        seed: 9,
      });
  };
  /** The objective's loss of each batch, from an evaluation and from a step with a learning rate of 0. */
  const losses = async (of: string, batches: readonly Batch[]): Promise<readonly (readonly number[])[]> => {
    const make = await trainerOf(of);
    const found: (readonly number[])[] = [];
    for (const batch of batches) {
      const trainer = await make(batch.rows);
      const { loss, shares } = await trainer.evaluate(only(batch), "top-k");
      for (const share of Object.values(shares)) expect(share).toBeGreaterThan(0.49);
      const { losses: own } = await trainer.step([batch], { learningRate: 0 });
      found.push([loss, own["preference"]!]);
      trainer.dispose();
    }
    return found;
  };

  it("have the device's losses of each record alone", { tags: "long" }, async () => {
    const { together, alone } = await batchesOf(source);
    const [all] = await losses(source, [together]);
    const each = await losses(source, alone);
    for (const which of [0, 1]) expect(all![which]! / mean(each.map((own) => own[which]!))).toBeCloseTo(1, 5);
  });

  it("along one axis are padded, which changes losses and is said", { tags: "long" }, async () => {
    const one = shared(source);
    const { together, alone } = await batchesOf(one);
    expect(together.axes).toBeUndefined();
    const [padded] = await losses(one, alone.slice(0, 1));
    const [own] = await losses(source, (await batchesOf(source)).alone.slice(0, 1));
    expect(Math.abs(padded![0]! / own![0]! - 1)).toBeGreaterThan(1e-3);
    const model = trainingModel({ source: { file: "m.mod", text: one }, read: () => null }, { set: SET }).model.run;
    const settings = { batch: 3, context: 48, seed: 1, validation: 0, validationWindows: 0 };
    const found = await openData({ data: `${place.path}/all.jsonl`, cache: `${place.path}/cache` }, model, settings);
    expect(found.notes).toEqual([
      "3 of 3 records have a text that is padded, and whose padding layers compute: chosen and rejected share the " +
        "axis T; declare an axis for each text, such as rejected: u32[B, T2]",
    ]);
    await found.close();
  });
});

async function* only(batch: Batch): AsyncIterable<Batch> {
  yield batch;
}
