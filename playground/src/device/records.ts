// Records for objectives that one text does not fill: lines with a text for each input of tokens, and made values.
import { chance, samplePicture } from "../samples.js";
import { batchOf, type StoredRecord } from "../../../src/tools/train/record-batch.js";
import type { RecordInput, RecordPlan } from "../../../src/tools/train/record-plan.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { ModelError } from "./errors.js";
import type { TrainAsk } from "./protocol.js";

/** Stands between the texts of a record. */
const BETWEEN = " => ";

/** The texts of the lines, by input; one empty record if no input has tokens. Throws ModelError. */
function textsIn(text: string, names: readonly string[]): readonly ReadonlyMap<string, Uint8Array>[] {
  if (names.length === 0) return [new Map()];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new ModelError("there are no records to learn", "write one in each line");
  return lines.map((line, i) => {
    const parts = line.split(BETWEEN);
    if (parts.length !== names.length || parts.includes(""))
      throw new ModelError(
        `record ${i + 1} has ${parts.filter((part) => part !== "").length} texts, the objective takes ${names.length}`,
        `write ${names.join(BETWEEN)} in each line`,
      );
    return new Map(names.map((name, n) => [name, new TextEncoder().encode(parts[n])]));
  });
}

/** Batches of records drawn by a seed. Throws ModelError for records that do not fill the plan. */
export function recordBatches(
  plan: RecordPlan,
  { text, batch, context, classes }: Pick<TrainAsk, "text" | "batch" | "context" | "classes">,
  seed: number,
): () => Batch {
  const along = plan.inputs.find(({ kind }) => kind === "along");
  if (along) throw new ModelError(`the playground has no values along the tokens for ${along.name}`);
  const names = plan.inputs.flatMap(({ kind, name }) => (kind === "tokens" ? [name] : []));
  const texts = textsIn(text, names);
  const random = chance(seed);
  const record = (): StoredRecord => {
    const own = texts[Math.floor(random() * texts.length)]!;
    const label = Math.floor(random() * classes);
    const lengths = plan.axes.map(({ bound }, axis) => {
      const longest = Math.max(
        0,
        ...plan.inputs.map((i) => (i.kind === "tokens" && i.axis === axis ? own.get(i.name)!.length : 0)),
      );
      return Math.min(longest, context, bound ?? Infinity);
    });
    const words = plan.inputs.flatMap((input) => Array.from(wordsOf(input, own, lengths, label, classes, random)));
    return { lengths, words: Uint32Array.from(words) };
  };
  return () =>
    batchOf(
      plan,
      Array.from({ length: batch }, () => [record()]),
    );
}

/** The words of an input: bytes, next bytes, a class, a picture of the class, or normally distributed numbers. */
function wordsOf(
  input: RecordInput,
  texts: ReadonlyMap<string, Uint8Array>,
  lengths: readonly number[],
  label: number,
  classes: number,
  random: () => number,
): ArrayLike<number> {
  if (input.kind === "tokens") return padded(texts.get(input.name)!, lengths[input.axis]!, 0);
  // As words, −1 is 2³² − 1.
  if (input.kind === "targets") return padded(texts.get(input.of)!.subarray(1), lengths[input.axis]!, 0xffffffff);
  if (input.kind !== "record") return [];
  const { type, shape } = input;
  const count = shape.reduce((a, b) => a * b, 1);
  if (type !== "f32") return Array<number>(count).fill(label);
  const isPicture = shape.length === 3 && (shape[0] === 1 || shape[0] === 3);
  const values = isPicture
    ? samplePicture(label, classes, shape as readonly [number, number, number], random)
    : Float32Array.from({ length: count }, () => normal(random));
  return new Uint32Array(values.buffer);
}

const padded = (bytes: Uint8Array, length: number, fill: number): ArrayLike<number> =>
  Array.from({ length }, (_, i) => bytes[i] ?? fill);

/** A normally distributed number (Box and Muller 1958). */
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
