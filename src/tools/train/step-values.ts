// What a step is given and what it gives: inputs in the program's shapes, shares of micro-batches, means of losses,
// counts of routes, loads of experts, and the description of a value that is not finite.
import { parentsOf } from "../../ground/size/count-rules.js";
import { bug } from "../../ground/base/invariant.js";
import { countName, loadName, pathsOfEntries, pathsOfRoutes, wishedName } from "../../runtime/program/observed.js";
import type { Program } from "../../runtime/program/program.js";
import { LineTable } from "../../compiler/codegen/works.js";
import type { Watched } from "../../compiler/autodiff/non-finite.js";
import type { Results, RunOptions, Session } from "../../runtime/index.js";
import type { TrainingPrograms } from "./programs.js";
import {
  along,
  tokensIn,
  tokensOf,
  weightOf,
  type Batch,
  type Loads,
  type Sequences,
  type StepMetrics,
} from "./types.js";

export interface InputTensor {
  readonly data: Float32Array | Uint32Array | Int32Array;
  readonly shape: readonly number[];
}

/** The inputs in the shapes that the program declares: first rows, then fixed sizes, or length. */
export const shaped = (batch: Batch, program: Program): Record<string, InputTensor> =>
  Object.fromEntries(
    Object.entries(batch.inputs).map(([name, data]) => {
      const [, ...others] = program.inputs.find((input) => input.name === name)?.shape ?? ["B", "T"];
      const sizes = others.map((size) => (typeof size === "number" ? size : along(batch, size).length));
      return [name, { data, shape: [batch.rows, ...sizes] }];
    }),
  );

export const vector = (values: readonly number[]): InputTensor => ({
  data: Float32Array.from(values),
  shape: [values.length],
});
export const scalar = (value: number): InputTensor => ({ data: Float32Array.of(value), shape: [] });

/** The given inputs that the program has. */
export const inputsAmong = (
  { inputs }: Pick<Program, "inputs">,
  given: Readonly<Record<string, InputTensor>>,
): Record<string, InputTensor> =>
  Object.fromEntries(inputs.flatMap(({ name }) => (Object.hasOwn(given, name) ? [[name, given[name]!]] : [])));

/** The share of a micro-batch in the means of a step: for the losses of the objective, and for all other values. */
export interface Share {
  readonly own: number;
  readonly other: number;
}

/** The shares of micro-batches: by `weight`, such as the number of targets, and by tokens. Each adds up to 1. */
export function sharesOf(micro: readonly Batch[]): readonly Share[] {
  if (micro.length === 1) return [{ own: 1, other: 1 }];
  const own = shared(micro.map(weightOf));
  const other = shared(micro.map(tokensOf));
  return micro.map((_, i) => ({ own: own[i]!, other: other[i]! }));
}

/** Each number divided by their sum; zeros if the sum is 0, as the mean of none is 0. */
function shared(numbers: readonly number[]): readonly number[] {
  const all = sumOf(numbers);
  return numbers.map((n) => (all === 0 ? 0 : n / all));
}

/** The losses of a step and the agreement of its predictors: means over its micro-batches by their shares. */
export function meansOf(
  results: readonly Results[],
  {
    shares,
    outputs,
    model,
  }: Pick<Program, "outputs"> & Pick<TrainingPrograms, "model"> & { readonly shares: readonly Share[] },
): Pick<StepMetrics, "loss" | "losses" | "agreement"> {
  const own = new Set(model.losses.flatMap((l) => (l.own ? [`loss.${l.path}`] : [])));
  const mean = (name: string): number =>
    results.reduce((sum, r, i) => sum + shares[i]![own.has(name) ? "own" : "other"] * Number(r[name]!.data[0]), 0);
  const named = (starts: string, ends: string): Record<string, number> =>
    Object.fromEntries(
      outputs.flatMap(({ name }) =>
        name.startsWith(starts) && name.endsWith(ends)
          ? [[name.slice(starts.length, name.length - ends.length), mean(name)]]
          : [],
      ),
    );
  const losses = named("loss.", "");
  const loss = results.length === 1 ? mean("loss") : sumOf(Object.values(losses));
  return { loss, losses, agreement: named("", ".agreement") };
}

/** The scale of a step's loss, from the result `SCALING` of its program. */
export const scalingOf = ([scale, updated]: ArrayLike<number> & Iterable<number>): NonNullable<
  StepMetrics["scaling"]
> => ({ scale: scale!, skipped: updated === 0 });

/** The lengths of a ragged batch, as an option of a run. */
export function lengthsIn({ lengths, axes }: Batch): Pick<RunOptions, "lengths"> {
  if (axes === undefined) return lengths === undefined ? {} : { lengths };
  const ragged = Object.entries(axes).flatMap(([axis, each]) => (each.lengths ? [[axis, each.lengths] as const] : []));
  return ragged.length === 0 ? {} : { lengths: Object.fromEntries(ragged) };
}

/** The sequence axis from whose tokens an observed route chooses: of the inputs, or fixed. */
export function sourceAxis({ axes, outputs }: Pick<Program, "axes" | "outputs">, path: string): string {
  const index = outputs.find(({ name }) => name === `${path}.index`);
  let name = index?.packing?.axis ?? bug(`no output is the index of the route ${path}`);
  for (;;) {
    const axis = axes.find((each) => each.name === name);
    if (axis?.role !== "sequence") bug(`${name} is not a sequence axis`);
    const parent = parentsOf(axis.count)[0];
    if (parent === undefined) return name;
    name = parent;
  }
}

/** The sequences of a batch along an axis of a program; a fixed axis, such as the patches of pictures, is full. */
function sequencesAlong(batch: Batch, { axes }: Pick<Program, "axes">, name: string): Sequences {
  const axis = axes.find((each) => each.name === name);
  return axis?.role === "sequence" && axis.count.kind === "fixed"
    ? { length: Number(axis.count.tokens) }
    : along(batch, name);
}

/** Tokens of a batch from which an observed route chooses. */
export const tokensBefore = (batch: Batch, program: Pick<Program, "axes" | "outputs">, path: string): number =>
  tokensIn(batch.rows, sequencesAlong(batch, program, sourceAxis(program, path)));

/** Observed outputs of a step other than losses: counts of routes, loads of experts, and agreement of predictors. */
export const observedOf = ({ program: { outputs } }: Session): readonly string[] => [
  ...countsOf(outputs),
  ...loadsIn(outputs).flatMap(({ load, wished }) => (wished === null ? [load] : [load, wished])),
  ...outputs.flatMap(({ name, role }) => (role === "observe" && name.endsWith(".agreement") ? [name] : [])),
];

/** The names of the counts of observed routes. */
export const countsOf = (outputs: Program["outputs"]): readonly string[] =>
  pathsOfRoutes(outputs).map((path) => `${path}.count`);

/** The outputs with the loads of observed choices. */
const loadsIn = (
  outputs: Program["outputs"],
): readonly { readonly path: string; readonly load: string; readonly wished: string | null }[] => {
  const names = new Set(outputs.map(({ name }) => name));
  return pathsOfEntries(outputs).flatMap((path) => {
    const [load, wished] = [loadName(path), wishedName(path)];
    return names.has(load) ? [{ path, load, wished: names.has(wished) ? wished : null }] : [];
  });
};

/** Loads of a step, summed over its micro-batches. */
export function loadsOf(results: readonly Results[], outputs: Program["outputs"]): Loads {
  const summed = (name: string): readonly number[] =>
    Array.from(results[0]![name]!.data, (_, e) => results.reduce((sum, r) => sum + r[name]!.data[e]!, 0));
  return Object.fromEntries(
    loadsIn(outputs).map(({ path, load, wished }) => [
      path,
      { chosen: summed(load), wished: wished === null ? null : summed(wished) },
    ]),
  );
}

export const sumOf = (data: ArrayLike<number>): number => Array.from(data).reduce((a, b) => a + b, 0);

/** The share of their tokens that the observed routes of a program choose in these batches; 1 without routes. */
export function shareOf(results: readonly Results[], program: Program, micro: readonly Batch[]): number {
  let [computed, tokens] = [0, 0];
  for (const path of pathsOfRoutes(program.outputs))
    for (const [i, batch] of micro.entries()) {
      computed += sumOf(results[i]![countName(path)]!.data);
      tokens += tokensBefore(batch, program, path);
    }
  return tokens === 0 ? 1 : computed / tokens;
}

/** The mask of a route over the tokens of its axis: 1 for chosen tokens, else 0, [B, T]. */
export function maskOf(
  results: Results,
  path: string,
  batch: Batch,
  program: Pick<Program, "axes">,
  axis: string,
): Uint8Array {
  const { rows } = batch;
  const { length } = sequencesAlong(batch, program, axis);
  const mask = new Uint8Array(rows * length);
  const { data: counts } = results[`${path}.count`]!;
  const { data: index, shape } = results[`${path}.index`]!;
  for (let b = 0; b < rows; b++) for (let i = 0; i < counts[b]!; i++) mask[b * length + index[b * shape[1]! + i]!] = 1;
  return mask;
}

export function describe({ op, origin, source }: Watched, { sources }: TrainingPrograms): string {
  if (source !== null) return `${source} holds a value that is not finite`;
  const line = origin ? new LineTable(sources).lineOf(origin.span) : 0;
  const where = origin
    ? ` in ${origin.path === "" ? "the model" : origin.path}, ${origin.span.file}${line > 0 ? `:${line}` : ""}`
    : "";
  return `the first value that is not finite is the result of ${op}${where}`;
}
