// Makes batches of records: a record a row, or several records packed into a row, padded to the longest row.
import type { Batch, Sequences } from "./types.js";
import { eachOf, wordsOf, type RecordInput, type RecordPlan } from "./record-plan.js";

/** A record as the cache has it: its length along each axis, and the words of the inputs one after the other. */
export interface StoredRecord {
  readonly lengths: ArrayLike<number>;
  readonly words: Uint32Array;
}

/** The values of an input in a record. */
function partOf({ inputs }: RecordPlan, { lengths, words }: StoredRecord, wanted: RecordInput): Uint32Array {
  let at = 0;
  for (const input of inputs) {
    const size = wordsOf(input, lengths);
    if (input === wanted) return words.subarray(at, at + size);
    at += size;
  }
  return words.subarray(0, 0);
}

/**
 * A batch with a row for each list of records: the records one after the other. Rows are padded to the longest along
 * their axis: with 0, and targets with −1.
 */
export function batchOf(plan: RecordPlan, rows: readonly (readonly StoredRecord[])[]): Batch {
  const along = plan.axes.map((_, axis) => sequencesOf(rows, axis));
  let targets = 0;
  const inputs = Object.fromEntries(
    plan.inputs.map((input) => {
      const each = eachOf(input);
      const row = input.kind === "record" ? each : along[input.axis]!.length * each;
      const data = new Uint32Array(rows.length * row);
      if (input.kind === "targets") data.fill(0xffffffff);
      for (const [b, records] of rows.entries()) {
        let at = b * row;
        for (const [number, record] of records.entries()) {
          const length = input.kind === "record" ? 1 : record.lengths[input.axis]!;
          if (input.kind === "document") data.fill(number, at, at + length);
          else data.set(partOf(plan, record, input), at);
          at += length * each;
        }
      }
      const typed = typedAs(input, data);
      if (input.kind === "targets") for (const target of typed) if (target >= 0) targets++;
      return [input.name, typed];
    }),
  );
  const several = along.length > 1 ? Object.fromEntries(plan.axes.map(({ name }, axis) => [name, along[axis]!])) : null;
  return {
    inputs,
    rows: rows.length,
    ...(several
      ? { length: Math.max(...along.map(({ length }) => length)), axes: several }
      : (along[0] ?? { length: 1 })),
    weight: plan.byTargets ? targets : rows.reduce((n, records) => n + records.length, 0),
  };
}

/** The rows along an axis. */
function sequencesOf(rows: readonly (readonly StoredRecord[])[], axis: number): Sequences {
  const lengths = Uint32Array.from(rows, (records) => records.reduce((n, record) => n + record.lengths[axis]!, 0));
  const length = Math.max(...lengths);
  return lengths.some((n) => n !== length) ? { length, lengths } : { length };
}

function typedAs(input: RecordInput, data: Uint32Array): Uint32Array | Int32Array | Float32Array {
  const type =
    input.kind === "targets" ? "i32" : input.kind === "along" || input.kind === "record" ? input.type : "u32";
  return type === "u32" ? data : type === "i32" ? new Int32Array(data.buffer) : new Float32Array(data.buffer);
}
