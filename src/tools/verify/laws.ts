// Checks two laws of a program on a device: later tokens do not change earlier results, and sequences do not affect
// each other.
import { countOf } from "../../ground/base/collections.js";
import { lengthOn } from "../../ground/size/lengths.js";
import type { ProgramInput, ProgramPacking } from "../../runtime/program/program.js";
import { largestDifference, type RunInputs, type Value } from "./compare.js";
import type { Loaded } from "./machine.js";
import { parseAxes } from "../../runtime/steps/sizes.js";

/** The outcome of one law: the compared pairs of runs, and those that differ. */
export interface LawChecked {
  /** Lengths of prefixes in tokens, or numbers of sequences. */
  readonly cases: readonly number[];
  readonly failing: readonly number[];
  /** Largest difference of any pair, as a share of the largest magnitude. */
  readonly difference: number;
}

/** Kernels sum a row in the same order in any tile, so results have equal bits; the tolerance is a margin. */
export const LAW_TOLERANCE = 1e-6;

/** Lengths of the prefixes in tokens: around the boundaries of tiles and half tiles of 64 tokens. */
export const PREFIXES: readonly number[] = [1, 3, 7, 15, 31, 32, 63];

/**
 * For each prefix: whether the results of its tokens stay the same if all later inputs change, along the sequences of
 * the results. `given` and `others` have the same shapes and full sequences.
 */
export async function checkCausality(loaded: Loaded, given: RunInputs, others: RunInputs): Promise<LawChecked> {
  const axes = inputAxes(loaded);
  const ofResults = loaded.program.outputs.flatMap(({ role, packing }) =>
    role === "result" && packing && axes.has(packing.axis) ? [packing.axis] : [],
  );
  const grown = new Set(ofResults.length > 0 ? ofResults : axes);
  const whole = await loaded.run(given);
  const tokens = Math.max(
    ...loaded.program.inputs.map(({ name, packing }) =>
      packing && grown.has(packing.axis) ? given.inputs.get(name)!.shape[packing.tokenDim]! : 0,
    ),
  );
  const failing: number[] = [];
  let difference = 0;
  const cases = PREFIXES.filter((p) => p < tokens);
  for (const prefix of cases) {
    const inputs = new Map(
      loaded.program.inputs.map(({ name, packing }) => {
        const [input, other] = [given.inputs.get(name)!, others.inputs.get(name)!];
        return [
          name,
          packing && grown.has(packing.axis)
            ? { shape: input.shape, data: spliced(input.data, other.data, input.shape, packing, prefix) }
            : input,
        ] as const;
      }),
    );
    const changed = await loaded.run({ inputs, lengths: null });
    const worstToken = worst(loaded, axes, (name, packing) => [
      within(changed.get(name)!, packing, (token) => token < prefix),
      within(whole.get(name)!, packing, (token) => token < prefix),
    ]);
    difference = largerOf(difference, worstToken);
    if (!(worstToken <= LAW_TOLERANCE)) failing.push(prefix);
  }
  return { cases, failing, difference };
}

/** For each sequence: whether its results in the batch equal its results in a run of that sequence alone. */
export async function checkRows(loaded: Loaded, given: RunInputs): Promise<LawChecked> {
  const { program } = loaded;
  const axes = inputAxes(loaded);
  const batchAxis = parseAxes(program).find(({ role }) => role === "batch")?.name;
  const isOfBatch = ({ shape }: { readonly shape: readonly (string | number)[] }): boolean => shape[0] === batchAxis;
  const { lengths } = given;
  const lengthIn = ({ axis }: ProgramPacking, b: number): number => lengthOn(lengths, axis, b) ?? Infinity;
  const together = await loaded.run(given);
  const batch = Math.max(
    ...program.inputs.map((input) => {
      const { shape } = given.inputs.get(input.name)!;
      return input.packing ? shape[input.packing.batchDim]! : isOfBatch(input) ? shape[0]! : 0;
    }),
  );
  const cases = Array.from({ length: batch }, (_, b) => b);
  const failing: number[] = [];
  let difference = 0;
  for (const b of cases) {
    const inputs = new Map(
      loaded.program.inputs.map((input) => {
        const value = given.inputs.get(input.name)!;
        return [input.name, alongOne(loaded, input, value, b, lengths)] as const;
      }),
    );
    const alone = await loaded.run({ inputs, lengths: null });
    let most = worst(loaded, axes, (name, packing) => [
      alone.get(name)!.data,
      within(together.get(name)!, packing, (token, sequence) => sequence === b && token < lengthIn(packing, b)),
    ]);
    for (const output of program.outputs)
      if (output.role === "result" && !output.packing && isOfBatch(output))
        most = largerOf(
          most,
          largestDifference(alone.get(output.name)!.data, rowOf(together.get(output.name)!, b).data),
        );
    difference = largerOf(difference, most);
    if (!(most <= LAW_TOLERANCE)) failing.push(b);
  }
  return { cases, failing, difference };
}

/** The part of an input that belongs to one sequence, cut to the sequence's tokens: a batch of one. */
function alongOne(
  { program }: Loaded,
  { shape }: ProgramInput,
  value: Pick<Value, "shape" | "data">,
  sequence: number,
  lengths: RunInputs["lengths"],
): Pick<Value, "shape" | "data"> {
  const ranges = value.shape.map((extent, d): readonly [number, number] => {
    const axis = program.axes.find(({ name }) => name === shape[d]);
    if (axis?.role === "batch") return [sequence, sequence + 1];
    return [0, (axis?.role === "sequence" ? lengthOn(lengths, axis.name, sequence) : undefined) ?? extent];
  });
  const strides = value.shape.map((_, d) => product(value.shape.slice(d + 1)));
  const data = Array.from(value.data).filter((_, i) =>
    ranges.every(([from, end], d) => {
      const at = Math.floor(i / strides[d]!) % value.shape[d]!;
      return at >= from && at < end;
    }),
  );
  return { shape: ranges.map(([from, end]) => end - from), data };
}

/** The values of one sequence, [1, …], of a tensor with a row for each. */
function rowOf({ shape, data }: Pick<Value, "shape" | "data">, sequence: number): Pick<Value, "shape" | "data"> {
  const each = product(shape.slice(1));
  return { shape: [1, ...shape.slice(1)], data: Array.from(data).slice(sequence * each, (sequence + 1) * each) };
}

const inputAxes = ({ program }: Loaded): ReadonlySet<string> =>
  new Set(program.inputs.flatMap((i) => (i.packing ? [i.packing.axis] : [])));

/** The largest difference over the results with a row for each input token. */
function worst(
  { program }: Loaded,
  axes: ReadonlySet<string>,
  pair: (name: string, packing: ProgramPacking) => readonly [ArrayLike<number>, ArrayLike<number>],
): number {
  let most = 0;
  for (const { name, role, packing } of program.outputs)
    if (role === "result" && packing && axes.has(packing.axis))
      most = largerOf(most, largestDifference(...pair(name, packing)));
  return most;
}

const largerOf = (a: number, b: number): number => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b));

/** The elements of the tokens and sequences for which `keeps` is true, in order. */
function within(
  { shape, data }: Pick<Value, "shape" | "data">,
  { batchDim, tokenDim }: ProgramPacking,
  keeps: (token: number, sequence: number) => boolean,
): number[] {
  const [perToken, perSequence] = [product(shape.slice(tokenDim + 1)), product(shape.slice(batchDim + 1))];
  return Array.from(data).filter((_, i) =>
    keeps(Math.floor(i / perToken) % shape[tokenDim]!, Math.floor(i / perSequence) % shape[batchDim]!),
  );
}

/** The inputs with the first tokens of one run and the remaining tokens of the other. */
function spliced(
  own: ArrayLike<number>,
  other: ArrayLike<number>,
  shape: readonly number[],
  { tokenDim }: ProgramPacking,
  prefix: number,
): number[] {
  const perToken = product(shape.slice(tokenDim + 1));
  return Array.from(own, (v, i) => (Math.floor(i / perToken) % shape[tokenDim]! < prefix ? v : other[i]!));
}

const product = (shape: readonly number[]): number => countOf(shape);
