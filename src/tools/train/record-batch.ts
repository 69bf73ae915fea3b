// Makes batches of records: a record a row, or several records packed into a row, padded to the longest row.
import type { Batch } from "./types.js";
import { product, wordsOf, type RecordInput, type RecordPlan } from "./record-plan.js";

/** A record as the cache has it: tokens, and the words of the inputs one after the other. */
export interface StoredRecord {
  readonly length: number;
  readonly words: Uint32Array;
}

/** The values of an input in a record. */
function partOf({ inputs }: RecordPlan, { length, words }: StoredRecord, wanted: RecordInput): Uint32Array {
  let at = 0;
  for (const input of inputs) {
    const size = wordsOf(input, length);
    if (input === wanted) return words.subarray(at, at + size);
    at += size;
  }
  return words.subarray(0, 0);
}

/**
 * A batch with a row for each list of records: the records one after the other. Rows are padded to the longest: with
 * 0, and targets with −1.
 */
export function batchOf(plan: RecordPlan, rows: readonly (readonly StoredRecord[])[]): Batch {
  const lengths = Uint32Array.from(rows, (records) => records.reduce((n, { length }) => n + length, 0));
  const length = Math.max(1, ...lengths);
  let targets = 0;
  const inputs = Object.fromEntries(
    plan.inputs.map((input) => {
      const each = input.kind === "along" ? product(input.inner) : input.kind === "record" ? product(input.shape) : 1;
      const row = input.kind === "record" ? each : length * each;
      const data = new Uint32Array(rows.length * row);
      if (input.kind === "targets") data.fill(0xffffffff);
      for (const [b, records] of rows.entries()) {
        let at = b * row;
        for (const [number, record] of records.entries()) {
          if (input.kind === "document") data.fill(number, at, at + record.length);
          else data.set(partOf(plan, record, input), at);
          at += record.length * each;
        }
      }
      const typed = typedAs(input, data);
      if (input.kind === "targets") for (const target of typed) if (target >= 0) targets++;
      return [input.name, typed];
    }),
  );
  // Records of numbers alone have no sequence.
  const isRagged = plan.inputs.some(({ kind }) => kind !== "record") && lengths.some((n) => n !== length);
  return {
    inputs,
    rows: rows.length,
    length,
    ...(isRagged && { lengths }),
    weight: plan.byTargets ? targets : rows.reduce((n, records) => n + records.length, 0),
  };
}

function typedAs(input: RecordInput, data: Uint32Array): Uint32Array | Int32Array | Float32Array {
  const type =
    input.kind === "targets" ? "i32" : input.kind === "along" || input.kind === "record" ? input.type : "u32";
  return type === "u32" ? data : type === "i32" ? new Int32Array(data.buffer) : new Float32Array(data.buffer);
}
