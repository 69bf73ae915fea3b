// Results of a run: selects the outputs to read and the steps they need, and unpacks packed rows.
import { countOf } from "../../ground/base/collections.js";
import type { Program, ProgramOutput, ProgramStep } from "../program/program.js";
import { writesTo } from "../program/textures.js";
import type { Sizes } from "../../ground/size/axes.js";
import { Counts } from "../../ground/size/counts.js";
import type { DType } from "../../ground/base/dtype.js";
import { InputError } from "../device/errors.js";
import type { Nested } from "./inputs.js";
import { forEachRun, packedLength, type PackedLayout } from "./packing.js";
import type { SizeTable } from "../steps/sizes.js";
import type { Copy } from "../steps/staging.js";
import { forgetPacked } from "../device/held-textures.js";

/** Values of one result, row-major. */
export interface Result {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** f32 and f16: Float32Array; bool: Uint8Array of 0 and 1. */
  readonly data: Float32Array | Uint32Array | Int32Array | Uint8Array;
  /** The result as nested arrays; a scalar is a number or boolean. */
  toArray(): Nested;
}

/** Results by name, without a prototype, since a result may have any name. */
export type Results = Readonly<Record<string, Result>>;

/** The values that a run reads back. */
export interface OutputSelection {
  /** Exactly these outputs, by name. Default: results and losses. */
  readonly outputs?: readonly string[];
  /**
   * Observed values to read in addition: all, or those whose names equal or begin with one of these texts
   * (`layers.1.chosen`).
   */
  readonly observe?: boolean | readonly string[];
}

/** The outputs to read. Throws InputError for a name that is not an output. */
export function selectOutputs(
  program: Pick<Program, "outputs">,
  { outputs, observe }: OutputSelection,
): readonly ProgramOutput[] {
  const names = new Set(program.outputs.map((o) => o.name));
  for (const name of outputs ?? [])
    if (!names.has(name))
      throw new InputError(
        null,
        `the model has no result ${JSON.stringify(name)}`,
        `its results are ${listed(program.outputs)}`,
      );
  const selected = new Set(outputs ?? program.outputs.filter((o) => o.role !== "observe").map((o) => o.name));
  const observed = program.outputs.filter((o) => o.role === "observe");
  for (const prefix of typeof observe === "object" ? observe : []) {
    const matching = observed.filter((o) => o.name === prefix || o.name.startsWith(`${prefix}.`));
    if (matching.length === 0)
      throw new InputError(null, `the model observes no ${JSON.stringify(prefix)}`, `it observes ${listed(observed)}`);
    for (const o of matching) selected.add(o.name);
  }
  if (observe === true) for (const o of observed) selected.add(o.name);
  return program.outputs.filter((o) => selected.has(o.name));
}

const listed = (outputs: readonly ProgramOutput[]): string =>
  outputs.length === 0
    ? "nothing"
    : outputs
        .slice(0, 8)
        .map((o) => o.name)
        .join(", ") + (outputs.length > 8 ? `, … (${outputs.length} in all)` : "");

/** For each step: whether an output that is read, or a state, may depend on it. All other steps are skipped. */
export function neededSteps(program: Program, outputs: readonly ProgramOutput[]): Uint8Array {
  const live = new Set<number>(program.states.map((s) => s.slot));
  for (const o of outputs) {
    for (const { slot } of [o, ...o.parts, ...o.starts]) live.add(slot);
  }
  const needed = new Uint8Array(program.steps.length);
  for (let i = program.steps.length - 1; i >= 0; i--) {
    const { reads, writes } = effects(program.steps[i]!, program);
    if (!writes.some((slot) => live.has(slot))) continue;
    needed[i] = 1;
    // A slot stays live before a step that writes it, since the step may write only a part.
    for (const slot of reads) live.add(slot);
    forgetPacked(program.steps[i]!, program, live);
  }
  return needed;
}

function effects(
  step: ProgramStep,
  program: Program,
): { readonly reads: readonly number[]; readonly writes: readonly number[] } {
  switch (step.kind) {
    case "dispatch": {
      const { access } = program.kernels[step.kernel]!;
      return { reads: step.slots, writes: step.slots.filter((_, i) => writesTo(access[i]!)) };
    }
    case "copy":
      return { reads: [step.from], writes: [step.to] };
    case "clear":
      return { reads: [], writes: [step.slot] };
    default:
      return step satisfies never;
  }
}

/** The location of one output's bytes in the staging buffer. */
export interface ReadPlace {
  readonly output: ProgramOutput;
  readonly shape: readonly number[];
  /**
   * The output's slots on the device: one slot with all values, or one slot for each column group of the last
   * dimension.
   */
  readonly parts: readonly {
    readonly slot: number;
    readonly columns: number;
    readonly offset: number;
    readonly bytes: number;
  }[];
  /**
   * For each dimension whose extent only the device knows: the slot of its row offsets, and their offset in the staging
   * buffer.
   */
  readonly starts: readonly { readonly dim: number; readonly slot: number; readonly offset: number }[];
}

/** Lays out the outputs one after the other in the staging buffer. */
export function placeOutputs(
  outputs: readonly ProgramOutput[],
  table: SizeTable,
  values: Float64Array,
  sizes: Sizes,
): { readonly places: readonly ReadPlace[]; readonly bytes: number } {
  let end = 0;
  const take = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / 8) * 8;
    return at;
  };
  const reads = outputs.map((output) => {
    const shape = output.shape.map((size) => values[table.index(size)]!);
    const elements = output.packing
      ? packedLength({ ...output.packing, shape, rows: sizes.sequence(output.packing.axis).rows })
      : countOf(shape);
    const columns = shape.at(-1) ?? 1;
    const parts = (output.parts.length > 0 ? output.parts : [{ slot: output.slot, columns }]).map((part) => {
      const bytes = part.columns === columns ? 4 * elements : ((4 * elements) / columns) * part.columns;
      return { ...part, bytes, offset: take(bytes) };
    });
    return { output, shape, parts, starts: output.starts.map((s) => ({ ...s, offset: take(4 * (sizes.batch + 1)) })) };
  });
  return { places: reads, bytes: end };
}

/** The copies of outputs, and of the row offsets that they need, to the staging buffer. */
export function copiesOf(places: readonly ReadPlace[], batch: number): readonly Copy[] {
  return places.flatMap(({ parts, starts }) => [
    ...parts.map(({ slot, offset, bytes }) => ({ slot, to: offset, bytes })),
    ...starts.map(({ slot, offset }) => ({ slot, to: offset, bytes: 4 * (batch + 1) })),
  ]);
}

/** Concatenates the parts' columns in each row. */
function concatColumns(parts: ReadPlace["parts"], back: ArrayBuffer): Uint32Array {
  const words = parts.map(({ offset, bytes }) => new Uint32Array(back, offset, bytes / 4));
  if (words.length === 1) return words[0]!;
  const row = parts.reduce((n, p) => n + p.columns, 0);
  const out = new Uint32Array(words.reduce((n, w) => n + w.length, 0));
  let first = 0;
  parts.forEach(({ columns }, i) => {
    for (let from = 0, to = first; from < words[i]!.length; from += columns, to += row)
      out.set(words[i]!.subarray(from, from + columns), to);
    first += columns;
  });
  return out;
}

/** Builds one result from the bytes read back. */
export function readOutput({ output, shape, parts, starts }: ReadPlace, back: ArrayBuffer, sizes: Sizes): Result {
  const words = concatColumns(parts, back);
  // If only the device knows the number of tokens, the dimension's extent is that number, not the bound.
  const counted = new Map(
    starts.map(({ dim, offset: at }) => [dim, countsOf(new Uint32Array(back, at, sizes.batch + 1))]),
  );
  const unfolded = shape.map((d, i) => counted.get(i)?.longest ?? d);
  if (!output.packing)
    return makeResult(output.dtype, unfolded, counted.size === 0 ? words.slice() : shrinkTo(words, shape, unfolded));
  const { axis, tokenDim } = output.packing;
  const layout = layoutOf(output.packing, unfolded, counted.get(tokenDim) ?? sizes.sequence(axis));
  const out = new Uint32Array(countOf(unfolded));
  forEachRun(layout, (packed, to, length) => out.set(words.subarray(packed, packed + length), to));
  return makeResult(output.dtype, unfolded, out);
}

/** Shrinks a tensor from its bounds to its actual extents: the first entries along each dimension. */
function shrinkTo(words: Uint32Array, from: readonly number[], to: readonly number[]): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(countOf(to));
  const index = to.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = words[from.reduce((at, d, k) => at * d + index[k]!, 0)]!;
    for (let k = to.length - 1; k >= 0 && ++index[k]! === to[k]; k--) index[k] = 0;
  }
  return out;
}

const layoutOf = (
  { batchDim, tokenDim }: NonNullable<ProgramOutput["packing"]>,
  shape: readonly number[],
  counts: Counts,
): PackedLayout => ({
  shape,
  batchDim,
  tokenDim,
  starts: counts.starts(),
  counts: counts.list,
  rows: counts.rows,
});

function countsOf(starts: Uint32Array): Counts {
  const counts = new Uint32Array(starts.length - 1);
  for (let b = 0; b < counts.length; b++) counts[b] = starts[b + 1]! - starts[b]!;
  return Counts.listed(counts, true);
}

/** A result from the device's words. */
function makeResult(dtype: DType, shape: readonly number[], words: Uint32Array<ArrayBuffer>): Result {
  return resultOf(dtype, shape, typed(dtype, words));
}

/** A result with known values. */
export const resultOf = (dtype: DType, shape: readonly number[], data: Result["data"]): Result => ({
  dtype,
  shape,
  data,
  toArray: () => nest(dtype, shape, data),
});

function typed(dtype: DType, words: Uint32Array<ArrayBuffer>): Result["data"] {
  switch (dtype) {
    case "f32":
    case "f16":
      return new Float32Array(words.buffer, words.byteOffset, words.length);
    case "u32":
      return words;
    case "i32":
      return new Int32Array(words.buffer, words.byteOffset, words.length);
    case "bool":
      return Uint8Array.from(words, (w) => (w === 0 ? 0 : 1));
    default:
      return dtype satisfies never;
  }
}

function nest(dtype: DType, shape: readonly number[], data: Result["data"]): Nested {
  const at = (depth: number, offset: number, stride: number): Nested => {
    if (depth === shape.length) return dtype === "bool" ? data[offset] !== 0 : data[offset]!;
    const inner = shape[depth] === 0 ? 0 : stride / shape[depth]!;
    return Array.from({ length: shape[depth]! }, (_, i) => at(depth + 1, offset + i * inner, inner));
  };
  return at(0, 0, data.length);
}
