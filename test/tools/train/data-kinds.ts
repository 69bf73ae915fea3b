// A run's data of every kind, in files that tests write: texts, and records of each format and form.
import { join } from "node:path";
import { Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { parquetWriteBuffer } from "hyparquet-writer";
import { writeSafetensors } from "../../../src/runtime/index.js";
import type { DataOptions } from "../../../src/tools/train/data.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import type { RunModel, RunOptions } from "../../../src/tools/train/run-options.js";
import { random } from "../../random.js";
import { text, type Scratch } from "./folder.js";
import { pretendModel, pretendRun, type Pretence } from "./pretend.js";

/** Prompts, completions and features of records with different lengths. */
const ROWS = 60;
interface Example {
  readonly prompt: string;
  readonly completion: string;
  readonly other: string;
  readonly features: readonly number[];
}
function examples(): readonly Example[] {
  const rng = random(8);
  const words = (most: number): string => text(1 + rng.below(most), rng.below(1000));
  return Array.from({ length: ROWS }, () => ({
    prompt: words(6),
    completion: words(20),
    other: words(24),
    features: Array.from({ length: 4 }, () => Math.fround(rng.normal())),
  }));
}

const SFT = `model Small() {
  weight table: f32[256, 4]
  objective(tokens: u32[B, T <= 32], targets: i32[B, T]) {
    loss next = cross_entropy(table[tokens] @ transpose(table), targets)
  }
}`;
const PREFERENCE = `model Small() {
  weight table: f32[256]
  objective(tokens: u32[B, T <= 32], targets: i32[B, T], rejected: u32[B, S <= 32], rejected_targets: i32[B, S]) {
    loss next = mean(table[tokens]) - mean(table[rejected]) + 0.0 * mean(f32(targets)) * mean(f32(rejected_targets))
  }
}`;
const FEATURES = `model Small() {
  weight table: f32[256]
  objective(tokens: u32[B, T <= 32], features: f32[B, 4], label: u32[B]) {
    loss next = mean(table[tokens]) + mean(features) * mean(f32(label))
  }
}`;

/** The pretend model with the inputs of an objective. */
function modelOf(source: string): RunModel {
  const { run } = trainingModel({ source: { file: "small.mod", text: source }, read: () => null }, { set: {} }).model;
  return { ...pretendModel, inputs: run.inputs, declared: run.declared };
}

export interface DataKind {
  /** What the data are, for the names of tests. */
  readonly name: string;
  readonly model: () => RunModel;
  /** The name of its file. */
  readonly file: string;
  readonly content: () => string | Uint8Array;
  /** Files beside it. */
  readonly beside?: () => Readonly<Record<string, Uint8Array>>;
  readonly options?: Omit<DataOptions, "data">;
  /** The tokens of a sequence, if not as other runs have. */
  readonly context?: number;
}

const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const pairs = (): readonly Pick<Example, "prompt" | "completion">[] =>
  examples().map(({ prompt, completion }) => ({ prompt, completion }));
const chats = (): readonly object[] =>
  pairs().map(({ prompt, completion }) => ({
    messages: [
      { role: "user", content: prompt },
      { role: "assistant", content: completion },
    ],
  }));
const column = (name: "prompt" | "completion"): string[] => pairs().map((row) => row[name]);

function parquet(): Uint8Array {
  const columnData = (["prompt", "completion"] as const).map((name) => ({
    name,
    data: column(name),
    type: "STRING" as const,
  }));
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 25 }));
}

const arrow = (format: "file" | "stream"): Uint8Array =>
  tableToIPC(
    new Table({ prompt: vectorFromArray(column("prompt")), completion: vectorFromArray(column("completion")) }),
    format,
  );

const featureFiles = (): Readonly<Record<string, Uint8Array>> =>
  Object.fromEntries(
    examples().map(({ features }, i) => [
      `features/${i}.safetensors`,
      writeSafetensors([
        { key: "features", dtype: "F32", shape: [4], data: new Uint8Array(Float32Array.from(features).buffer) },
      ]),
    ]),
  );

export const DATA_KINDS: readonly DataKind[] = [
  { name: "a text", model: () => pretendModel, file: "text.txt", content: () => text(20_000, 1) },
  {
    name: "the texts of a JSONL file",
    model: () => pretendModel,
    file: "texts.jsonl",
    content: () => jsonl(Array.from({ length: 40 }, (_, i) => ({ text: text(500, i) }))),
  },
  { name: "JSONL records", model: () => modelOf(SFT), file: "rows.jsonl", content: () => jsonl(pairs()) },
  {
    name: "packed JSONL records",
    model: () => modelOf(SFT),
    file: "packed.jsonl",
    content: () => jsonl(pairs()),
    options: { pack: true },
  },
  {
    name: "chats",
    model: () => modelOf(SFT.replace("T <= 32", "T <= 256")),
    file: "chats.jsonl",
    content: () => jsonl(chats()),
    options: { chatTemplate: "zephyr" },
    context: 128,
  },
  { name: "Parquet records", model: () => modelOf(SFT), file: "rows.parquet", content: parquet },
  {
    name: "packed Parquet records",
    model: () => modelOf(SFT),
    file: "packed.parquet",
    content: parquet,
    options: { pack: true },
  },
  { name: "Arrow records", model: () => modelOf(SFT), file: "rows.arrow", content: () => arrow("file") },
  { name: "a stream of Arrow", model: () => modelOf(SFT), file: "stream.arrow", content: () => arrow("stream") },
  {
    name: "preferences",
    model: () => modelOf(PREFERENCE),
    file: "preferences.jsonl",
    content: () =>
      jsonl(
        examples().map(({ prompt, completion, other }) => ({
          tokens: prompt + completion,
          rejected: prompt + other,
        })),
      ),
  },
  {
    name: "features in files",
    model: () => modelOf(FEATURES),
    file: "features.jsonl",
    content: () =>
      jsonl(
        examples().map(({ prompt }, i) => ({
          tokens: prompt,
          features: `features/${i}.safetensors`,
          label: ["no", "yes"][i % 2],
        })),
      ),
    beside: featureFiles,
    options: { labels: { label: ["no", "yes"] } },
  },
];

/** Writes the data, and says where they are. */
export function writeKind({ file, content, beside, options }: DataKind, folder: Scratch): DataOptions {
  for (const [name, bytes] of Object.entries(beside?.() ?? {})) folder.file(join("data", name), bytes);
  return { ...options, data: folder.file(join("data", file), content()) };
}

export const settings = {
  context: 32,
  batch: 2,
  accumulate: 2,
  steps: 20,
  validateEvery: 7,
  checkpointEvery: 5,
  keep: 2,
  validationWindows: 4,
  live: "capacity=100%@0,12.5%@50%",
};

export type More = Partial<RunOptions> & { readonly pretence?: Pretence };

/** A run on data of a kind, which were written. */
export const kindRun = (
  kind: DataKind,
  written: DataOptions,
  output: string,
  more: More = {},
  change: Partial<RunOptions["settings"]> = {},
): RunOptions =>
  pretendRun(
    output,
    written.data,
    { ...settings, ...(kind.context !== undefined && { context: kind.context }), ...change },
    { ...written, model: kind.model(), ...more },
  );
