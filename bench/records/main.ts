// What records cost a training step: `node bench/start.mjs records` writes records.md.
//
// Floor: a step's batch of four records is read by eight reads of a cached file and copied once, under 1 ms. Expected
// before measuring: the loop reads the next batch while the device computes, so the ratio is 1 within its spread.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { parquetWriteBuffer } from "hyparquet-writer";
import { openDevice, type Device } from "../../src/runtime/index.js";
import type { DataOptions, TrainingData } from "../../src/tools/train/data.js";
import { openData } from "../../src/tools/train/data-node.js";
import { loop } from "../../src/tools/train/loop.js";
import { trainingModel } from "../../src/tools/train/model.js";
import { compileTraining } from "../../src/tools/train/programs.js";
import { createTrainer } from "../../src/tools/train/trainer.js";
import type { Trainer } from "../../src/tools/train/types.js";
import { START, type DataPosition } from "../../src/tools/train/windows.js";
import { random } from "../random.js";
import { replaceFile } from "../replace-file.js";
import { medianWithin, ratioOf, spreadOf, type Spread } from "../statistics.js";
import { milliseconds, spread, table } from "../tables.js";

/** The most that records may add to a step. */
const MOST = 1.03;
const [STEPS, ROWS, LENGTH, RECORDS] = [4, 4, 256, 600];
/** A small model, for whose steps batches matter most, and one of usual proportions. */
const MODELS = [
  { name: "2 layers of 64", rounds: 19, set: { dim: "64", heads: "4", depth: "2", routed: "true" } },
  { name: "4 layers of 128", rounds: 7, set: { dim: "128", heads: "4", depth: "4", routed: "true" } },
] as const;
const SOURCE = readFileSync(new URL("../models/decoder.mod", import.meta.url), "utf8").replace(
  "targets: u32[B, T]",
  "targets: i32[B, T]",
);
const OPTIMIZER = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;

/** A text, and the same tokens as records of the length of its windows. */
function written(folder: string): Readonly<Record<string, DataOptions>> {
  const rng = random(4);
  const byte = (): number => 97 + Math.min(25, Math.floor(Math.abs(rng.normal()) * 9));
  const file = (name: string, content: string | Uint8Array): DataOptions => {
    writeFileSync(join(folder, name), content);
    return { data: join(folder, name) };
  };
  // A record ends with a token of its own.
  const texts = Array.from({ length: RECORDS }, () => String.fromCharCode(...Array.from({ length: LENGTH - 1 }, byte)));
  const columnData = [{ name: "tokens", data: texts, type: "STRING" as const }];
  const arrow = tableToIPC(new Table({ tokens: vectorFromArray(texts) }), "file");
  const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const quarters = texts.flatMap((text) => [0, 1, 2, 3].map((i) => text.slice(i * 64, i * 64 + 63)));
  return {
    text: file("text.txt", texts.join("")),
    JSONL: file("records.jsonl", jsonl(texts.map((tokens) => ({ tokens })))),
    "JSONL, packed": { ...file("quarters.jsonl", jsonl(quarters.map((tokens) => ({ tokens })))), pack: true },
    Parquet: file("records.parquet", new Uint8Array(parquetWriteBuffer({ columnData }))),
    Arrow: file("records.arrow", arrow),
  };
}

interface Fed {
  readonly data: TrainingData;
  position: DataPosition;
}

interface Step {
  readonly time: number;
  readonly processor: number;
}

/** Milliseconds of a step in a loop as a run has it: the next batch is read while the device computes. */
async function perStep(trainer: Trainer, fed: Fed): Promise<Step> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  const events = loop({
    trainer,
    from: { step: 0, position: fed.position, best: null, unimproved: 0 },
    steps: STEPS,
    settings: () => ({ learningRate: 1e-4 }),
    batches: async (at) => {
      const { batch, next } = await fed.data.next(at);
      if (batch.rows !== ROWS || batch.length !== LENGTH || batch.lengths) throw new Error("a batch of another shape");
      fed.position = next;
      return { micro: [batch], next };
    },
    toBitsPerByte: () => null,
    epochsAt: () => 0,
    own: [],
    validation: null,
    samples: null,
    checkpoints: { every: STEPS, save: async () => "" },
    lastCheckpoint: null,
    changed: async () => null,
  });
  for await (const _ of events); // to its end
  const { user, system } = process.cpuUsage(used);
  return { time: (performance.now() - began) / STEPS, processor: (user + system) / 1000 / STEPS };
}

/** Processor milliseconds in which a batch is read, without a device. */
async function perBatch(fed: Fed): Promise<number> {
  const [count, used] = [50, process.cpuUsage()];
  for (let i = 0; i < count; i++) fed.position = (await fed.data.next(fed.position)).next;
  const { user, system } = process.cpuUsage(used);
  return (user + system) / 1000 / count;
}

interface Measured {
  readonly times: readonly number[];
  /** Processor time. */
  readonly steps: readonly number[];
  readonly batches: readonly number[];
}

async function measure(
  device: Device,
  { name, rounds, set }: (typeof MODELS)[number],
  files: Readonly<Record<string, DataOptions>>,
  folder: string,
): Promise<ReadonlyMap<string, Measured>> {
  const text = { source: { file: "decoder.mod", text: SOURCE }, read: () => null };
  const model = trainingModel(text, { set }).model.run;
  const settings = { batch: ROWS, context: LENGTH, seed: 1, validation: 0, validationWindows: 0 };
  const { programs } = compileTraining(
    { source: SOURCE, file: "decoder.mod", set },
    { optimizer: OPTIMIZER, clip: 1, microBatches: 1 },
    { target: device.target },
  );
  const fixed = { programs: programs!, device, optimizer: OPTIMIZER, weightDecay: 0.1 };
  const trainer = await createTrainer({ ...fixed, rows: ROWS, length: LENGTH, microBatches: 1, seed: 1, rules: [] });
  const feeds = new Map<string, Fed>();
  for (const [kind, options] of Object.entries(files))
    feeds.set(kind, {
      data: await openData({ ...options, cache: join(folder, "cache") }, model, settings),
      position: START,
    });
  const found = new Map(
    [...feeds.keys()].map((kind) => [kind, { times: [] as number[], steps: [] as number[], batches: [] as number[] }]),
  );
  for (let round = 0; round <= rounds; round++) {
    // Each round in another order, so that none is always behind the same.
    const kinds = [...feeds];
    for (const [kind, fed] of [...kinds.slice(round % kinds.length), ...kinds.slice(0, round % kinds.length)]) {
      const [step, batches] = [await perStep(trainer, fed), await perBatch(fed)];
      if (round === 0) continue; // compiles kernels
      found.get(kind)!.times.push(step.time);
      found.get(kind)!.steps.push(step.processor);
      found.get(kind)!.batches.push(batches);
      process.stderr.write(`records: ${name}, ${kind}: ${milliseconds(step.processor)} ms of processor time a step\n`);
    }
  }
  trainer.dispose();
  for (const { data } of feeds.values()) await data.close();
  return found;
}

const folder = mkdtempSync(join(tmpdir(), "modc-records-"));
const device = await openDevice();
const rows: string[][] = [];
let worst: Spread = { median: 0, low: 0, high: 0 };
try {
  const files = written(folder);
  for (const model of MODELS) {
    const found = await measure(device, model, files, folder);
    const text = found.get("text")!;
    for (const [kind, { times, steps, batches }] of found) {
      const ratios = steps.map((step, i) => step / text.steps[i]!);
      const { median, low, high } = medianWithin(ratios);
      if (kind !== "text" && median > worst.median) worst = ratioOf(steps, text.steps);
      rows.push([
        model.name,
        kind,
        spread(times),
        spread(steps),
        kind === "text" ? "1" : `${median.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`,
        spreadOf(batches).median.toFixed(2),
        `${((100 * spreadOf(batches).median) / spreadOf(steps).median).toFixed(2)}%`,
      ]);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const must = `at most ${MOST} | ${worst.median <= MOST ? "met" : "**missed**"}`;
const counts = MODELS.map(({ rounds }) => rounds).join(" and ");
const text = `# Records beside a text

\`node bench/start.mjs records\` on ${device.info.name}: training steps of \`bench/models/decoder.mod\`,
every second layer routed, on ${ROWS} × ${LENGTH} tokens: windows of a text,
and records of as many tokens, of which packed ones share a row
by four. ${counts} rounds of ${STEPS} steps behind a first that compiles, all kinds in turns in
each round, with the loop of \`modc train\`. Milliseconds of a step as the median with the least and the most: by the
clock, which other programs on the machine disturb, and of processor time, which counts the reading of the next batch in
full. The ratio is that of processor time to the text's of the same round, as the median with its 95% interval. Last the
processor milliseconds in which a batch is read alone, and their share of a step.

${table(["model", "data", "step", "processor", "over the text's", "a batch", "of a step"], rows)}

| ratio | median | must |  |
| --- | --- | --- | --- |
| processor time of a step on records over one on a text, the largest | ${worst.median.toFixed(3)} | ${must} |
`;
device.destroy();
replaceFile("records.md", text);
process.stdout.write(text);
