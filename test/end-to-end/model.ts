// Runs one source through the compiler, and its program on a device beside its graph in the reference.
import { compile, type CompileOptions } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Tensor } from "../../src/compiler/ops/define.js";
import type { Program, ProgramWeight } from "../../src/runtime/program/program.js";
import { evaluate, type Choice, type Evaluation } from "../../src/compiler/reference/evaluate.js";
import { observedEntries, observedRoute } from "../../src/runtime/program/observed.js";
import { existingEntries, packRoute, packRows } from "../../src/compiler/reference/pack.js";
import { type Device, load, type Results, type Session } from "../../src/runtime/index.js";
import type { Lengths } from "../../src/ground/size/lengths.js";
import { startsOf } from "../../src/ground/size/counts.js";
import { divide, parseDecimal, parseRational, rational, type Rational } from "../../src/ground/numerics/rational.js";
import { printSize } from "../../src/ground/size/size.js";
import { random } from "../random.js";

export interface Compiled {
  readonly program: Program;
  readonly graph: Graph;
}

/** Compiles, or fails with the diagnostics. */
export function compiled(source: string, options: CompileOptions = {}): Compiled {
  const result = compile(source, { verify: true, ...options });
  if (!result.program || !result.graph)
    throw new Error(formatDiagnostics(result.diagnostics, { sources: result.sources }));
  return { program: result.program, graph: result.graph };
}

export interface Filled {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export type Weights = ReadonlyMap<string, Filled>;

/**
 * Every weight random: matrices of deviation `gain`/√n, vectors around 1, so that norms, biases and gates all matter.
 */
export function randomWeights(
  { weights }: { readonly weights: readonly Pick<ProgramWeight, "path" | "shape">[] },
  seed: number,
  gain = 1,
): Map<string, Filled> {
  const rng = random(seed);
  return new Map(
    weights.map((w) => {
      const count = w.shape.reduce((a, b) => a * b, 1);
      const scale = gain / Math.sqrt(w.shape.at(-1) ?? 1);
      const value = w.shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => rng.normal() * scale;
      return [w.path, { shape: w.shape, data: Float32Array.from({ length: count }, value) }];
    }),
  );
}

/** A session over those weights; buffers start small and grow. */
export function sessionOf(
  program: Program,
  device: Device,
  weights: Weights,
  max: Readonly<Record<string, number>>,
): Promise<Session> {
  return load(program, device, (w) => weights.get(w.path)!.data, { max });
}

export interface GivenInput {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array | Int32Array;
}

export interface Case {
  readonly inputs: Readonly<Record<string, GivenInput>>;
  readonly lengths?: Uint32Array;
  /** Lengths of inputs along several sequences. */
  readonly byAxis?: Readonly<Record<string, readonly number[]>>;
  readonly seed?: number;
  readonly live?: Readonly<Record<string, string>>;
}

/** `f32[B, T, …rest]`, normal. */
export function randomInput(shape: readonly number[], seed: number): GivenInput {
  const rng = random(seed);
  return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()) };
}

/** `u32[B, T]` below `vocab`. */
export function randomTokens(shape: readonly number[], vocab: number, seed: number): GivenInput {
  const rng = random(seed);
  return { shape, data: Uint32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.below(vocab)) };
}

/** Every third sequence empty-ish: lengths between 0 and T, the first one T. */
export const randomLengths = (batch: number, T: number, seed: number): Uint32Array => {
  const rng = random(seed);
  return Uint32Array.from({ length: batch }, (_, b) => (b === 0 ? T : rng.below(T + 1)));
};

const lengthsOf = ({ lengths, byAxis }: Case): { readonly lengths?: Lengths } =>
  lengths || byAxis ? { lengths: byAxis ?? lengths! } : {};

/** The reference on the same case, its choices its own unless forced. */
export function reference(
  graph: Graph,
  weights: Weights,
  given: Case,
  forced?: ReadonlyMap<string, Choice>,
  forcedEntries?: ReadonlyMap<string, Tensor>,
): Evaluation {
  return evaluate(graph, {
    inputs: new Map(Object.entries(given.inputs)),
    weights,
    ...lengthsOf(given),
    ...(given.seed === undefined ? {} : { seed: given.seed }),
    ...(given.live ? { live: new Map(Object.entries(given.live).map(([k, v]) => [k, exact(v)])) } : {}),
    ...(forced ? { forced } : {}),
    ...(forcedEntries ? { forcedEntries } : {}),
  });
}

/** `25%`, `0.5`, `1/3`. */
export function exact(text: string): Rational {
  const value = text.endsWith("%") ? parseDecimal(text.slice(0, -1)) : (parseDecimal(text) ?? parseRational(text));
  if (!value) throw new Error(`not a number: ${text}`);
  return text.endsWith("%") ? divide(value, rational(100)) : value;
}

export const onDevice = (session: Session, given: Case): Promise<Results> =>
  session.run(given.inputs, {
    observe: true,
    ...lengthsOf(given),
    ...(given.seed === undefined ? {} : { seed: given.seed }),
    ...(given.live ? { live: given.live } : {}),
  });

/**
 * The choices a device made, from its observed routes, for the reference to take over. Every routed axis of the model
 * must be observed, and its parents too: an index is relative to the axis it was chosen on.
 */
export function choicesOf(graph: Graph, evaluation: Evaluation, results: Results, given: Case): Map<string, Choice> {
  const batch = Object.values(given.inputs)[0]!.shape[0]!;
  const extent = Object.values(given.inputs)[0]!.shape[1]!;
  const starts = new Map<string, ArrayLike<number>>();
  for (const axis of graph.axes)
    if (axis.role === "sequence" && axis.count.kind === "input")
      starts.set(axis.name, startsOf(given.lengths ?? new Uint32Array(batch).fill(extent)));
  const choices = new Map<string, Choice>();
  for (const axis of graph.axes) {
    const out = graph.outputs.find((o) => observedRoute(o) !== null && printSize(o.shape[1]!) === axis.name);
    if (!out) continue;
    const index = results[out.name]!;
    const count = results[out.name.replace(/index$/, "count")]!;
    const parent = evaluation.routes.get(axis.name)!.parent;
    const choice = packRoute(index.data, index.shape[1]!, count.data, starts.get(parent)!);
    choices.set(axis.name, choice);
    starts.set(axis.name, choice.starts.data);
  }
  return choices;
}

/** The entries a device chose, from its observed choices, likewise. */
export function entriesOf(
  graph: Graph,
  evaluation: Evaluation,
  results: Results,
  given: Case,
  routes: ReadonlyMap<string, Choice>,
): Map<string, Tensor> {
  const [batch, extent] = Object.values(given.inputs)[0]!.shape;
  const entries = new Map<string, Tensor>();
  for (const output of graph.outputs) {
    const path = observedEntries(output);
    if (path === null || !evaluation.entries.has(path)) continue;
    const whole = existingEntries(results[output.name]!, results[`${path}.count`]!.data);
    const starts =
      routes.get(output.packing?.axis ?? "")?.starts.data ??
      evaluation.routes.get(output.packing?.axis ?? "")?.used.starts.data ??
      startsOf(given.lengths ?? new Uint32Array(batch!).fill(extent!));
    entries.set(path, output.packing ? packRows(whole, output.packing, starts) : whole);
  }
  return entries;
}

/** Largest |a − b| / (atol + rtol·|b|) with its place; below 1 is close. */
export function furthest(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  atol: number,
  rtol: number,
): { readonly ratio: number; readonly text: string } {
  let ratio = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    const r =
      Object.is(a, e) || a === e || (Number.isNaN(a) && Number.isNaN(e))
        ? 0
        : Math.abs(a - e) / (atol + rtol * Math.abs(e));
    if (!(r <= ratio)) {
      ratio = Number.isNaN(r) ? Infinity : r;
      at = i;
    }
  }
  return { ratio, text: `at ${at}: ${actual[at]} against ${expected[at]} (${ratio.toPrecision(3)} of the tolerance)` };
}

export type { Tensor };
