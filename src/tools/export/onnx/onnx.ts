// Converts a model to an ONNX graph in opset 18, with standard operators only.
import type { Model, Value } from "../../../language/check/model/model.js";
import { isChoice } from "../../../language/check/model/types.js";
import { reachable } from "../../../language/check/model/model-values.js";
import { inputRanges } from "../../../language/check/model/input-ranges.js";
import type { Size } from "../../../ground/size/size.js";
import { AxisTable, type Rows } from "./axes.js";
import { Caches, rootOf, type CachedTensor } from "./caches.js";
import { emitValues, isAlong, type Emitted } from "./emit.js";
import { entryCount, entryIndex } from "./entries.js";
import { GraphBuilder, type Name, type Stored } from "./graph.js";
import { refuse, elementOf, existing, type Scope } from "./scope.js";
import { routeCount, routeIndex } from "./routes.js";
import { Shorthand } from "./shorthand.js";
import type { Fraction } from "./sizes.js";

/** The input with each sequence's token count; of several sequence axes `lengths.S` for each. */
export const LENGTHS = "lengths";

export interface OnnxOptions {
  /** The model of phase generate takes keys and values of earlier runs as inputs and returns the extended ones. */
  readonly caches?: boolean;
  /** Adds an input with each sequence's token count. By default every sequence has all tokens of the tensor. */
  readonly lengths?: boolean;
  /** Also returns observed values. */
  readonly observe?: boolean;
  /** The storage type of float weights; by default the model's type. */
  readonly floats?: "f32" | "f16" | "bf16";
}

export interface OnnxGraph {
  readonly model: Model;
  readonly graph: GraphBuilder;
  /** Empty without caches. */
  readonly caches: readonly CachedTensor[];
}

/** Throws ExportError for models that have no ONNX form. */
export function onnxGraph(model: Model, options: OnnxOptions = {}): OnnxGraph {
  if (model.updates.length > 0) refuse("a state that training moves", model.updates[0]!.path);
  const graph = new GraphBuilder();
  const at = new Shorthand(graph);
  const root = options.caches ? rootOf(model) : null;
  for (const { name, type } of model.inputs)
    graph.input({ name, element: elementOf(type.dtype), shape: type.shape.map(dimOf), doc: "" });
  const live = liveOf(model, at);
  const axes = new AxisTable(at, model, live);
  for (const [axis, rows] of inputAxes(model, at)) axes.define(axis, rows);
  const batch = model.axes.find(({ role }) => role === "batch")?.name ?? null;
  if (options.lengths) defineLengths(model, axes, batch);
  const caches = root === null || batch === null ? null : new Caches(model, graph, batch, root);
  const cachedLength = caches?.begin() ?? null;
  if (root !== null && cachedLength !== null)
    axes.define(root, { ...axes.rows(root), start: at.unsqueeze(cachedLength, 1) });

  const results = resultsOf(model, options);
  const names = results.flatMap((result) => result.names);
  names.forEach((name, i) => {
    if (graph.inputs.some((port) => port.name === name)) refuse(`a result with the name of an input, ${name},`, "");
    if (names.indexOf(name) < i) refuse(`two results with one name, ${name},`, "");
    graph.reserve(name);
  });
  const weights = weightsOf(model, graph, at, options.floats);
  const shown = results.map(({ value }) => value);
  const ranges = inputRanges(reachable(shown));
  const inputs = { input: (name: string) => name, isIndex: (name: string) => ranges.has(name) };
  const base: Omit<Scope, "get"> = { model, graph, at, axes, caches, weight: weights, ...inputs, live };
  const emitted = emitValues(
    base,
    root === null
      ? { whole: shown, last: null }
      : {
          whole: results.flatMap(({ value, observed }) => (observed ? [value] : [])),
          last: { axis: root, values: results.flatMap(({ value, observed }) => (observed ? [] : [value])) },
        },
  );
  graph.path = "";
  for (const result of results) emitResult(emitted, result, root);
  if (caches && root !== null && cachedLength !== null) caches.end(emitted.scope, cachedLength);
  graph.prune();
  return { model, graph, caches: caches?.tensors ?? [] };
}

/** The name or extent of a dimension. */
const dimOf = (size: Size): number | string => (typeof size === "number" ? size : size.key);

/** The axes of the inputs. */
function inputAxes(model: Model, at: Shorthand): ReadonlyMap<string, Rows> {
  const rowsByAxis = new Map<string, Rows>();
  for (const { name, type } of model.inputs)
    type.shape.forEach((size, dim) => {
      const axis = model.axes.find((a) => a.name === dimOf(size));
      if (axis && !rowsByAxis.has(axis.name)) rowsByAxis.set(axis.name, { length: at.dim(name, dim), counts: null });
    });
  return rowsByAxis;
}

/** Adds an input `lengths`, or `lengths.S` for each of several sequence axes. */
function defineLengths(model: Model, axes: AxisTable, batch: string | null): void {
  const { at } = axes;
  const { graph } = at;
  const along = model.axes.filter(({ role, name }) => role === "sequence" && axes.isDefined(name));
  if (along.length === 0 || batch === null) return refuse("lengths of a model without sequences", "");
  for (const { name: axis } of along) {
    const name = along.length === 1 ? LENGTHS : `${LENGTHS}.${axis}`;
    const doc = "number of tokens of each sequence; later entries are not read";
    const lengths = graph.input({ name, element: "i64", shape: [batch], doc });
    const rows = axes.rows(axis);
    // Each sequence has its own count, clamped to the available tokens.
    const own = at.reshapeTo(lengths, axes.rows(batch).length);
    axes.define(axis, { ...rows, counts: at.min(at.max(own, graph.ints(0)), rows.length) });
  }
}

/** A live parameter is an input of two integers, numerator and denominator. The default is the model's value. */
function liveOf(model: Model, at: Shorthand): (name: string) => Fraction {
  const names = new Map(
    model.live.map((parameter): [string, Fraction] => {
      if (model.inputs.some(({ name }) => name === parameter.name))
        refuse(`a live parameter with the name of an input, ${parameter.name},`, "");
      const { num, den } = parameter.default;
      const doc = "a live parameter: numerator and denominator, which is positive";
      const pair = at.graph.input({ name: parameter.name, element: "i64", shape: [2], doc }, [num, den]);
      const part = (i: number): Name => at.slice(pair, at.graph.ints(i), at.graph.ints(i + 1), 0);
      return [parameter.name, { num: part(0), den: part(1) }];
    }),
  );
  return (name) => names.get(name)!; // the checker has found the parameter
}

function weightsOf(
  model: Model,
  graph: GraphBuilder,
  at: Shorthand,
  floats: OnnxOptions["floats"],
): (path: string) => Name {
  const known = new Map<string, Name>();
  const byPath = new Map(model.weights.map((weight) => [weight.path, weight]));
  return (path) => {
    let name = known.get(path);
    if (name === undefined) {
      const weight = byPath.get(path)!; // the checker has found the weight
      const stored: Stored = weight.dtype === "f32" && weight.kind === "weight" ? (floats ?? "f32") : weight.dtype;
      const element = elementOf(weight.dtype);
      const tensor = graph.weight(weight, stored);
      known.set(path, (name = stored === element ? tensor : at.cast(tensor, element)));
    }
    return name;
  };
}

interface Result {
  /** One name; a selection has two, for its index and its count. */
  readonly names: readonly string[];
  readonly value: Value;
  readonly observed: boolean;
}

function resultsOf(model: Model, { observe = false }: OnnxOptions): readonly Result[] {
  const results =
    model.entry === "objective"
      ? model.losses.map(({ path, value }): Result => ({ names: [`loss.${path}`], value, observed: false }))
      : model.outputs.map(({ name, value }): Result => ({ names: [name], value, observed: false }));
  if (!observe) return results;
  const observed = model.observes.map(({ path, value }): Result => {
    const names = isChoice(value) || isOfEntries(value) ? [`${path}.index`, `${path}.count`] : [path];
    return { names, value, observed: true };
  });
  return [...results, ...observed];
}

const isOfEntries = ({ op }: Value): boolean => op === "top_entries" || op === "those_entries";

function emitResult({ scope, whole, last }: Emitted, { names, value, observed }: Result, root: string | null): void {
  const { graph } = scope;
  const { dtype, shape } = value.type;
  const give = (name: string, from: Name, like: readonly (number | string)[]): void =>
    graph.output({ name, element: elementOf(dtype), shape: like, doc: "" }, from);
  const dims = shape.map(dimOf);
  if (isChoice(value) && names.length > 1) {
    give(names[0]!, existing(scope, value.type, routeIndex(scope, value)), dims);
    give(names[1]!, routeCount(scope, value), dims.slice(0, -1));
  } else if (names.length > 1) {
    const count = { dtype, shape: shape.slice(0, -1) };
    give(names[0]!, existing(scope, value.type, entryIndex(scope, value)), dims);
    give(names[1]!, existing(scope, count, entryCount(scope, value)), dims.slice(0, -1));
  } else if (root !== null && !observed && isAlong(value, root))
    give(
      names[0]!,
      last(value),
      dims.map((dim) => (dim === root ? 1 : dim)),
    );
  else give(names[0]!, existing(scope, value.type, whole(value)), dims);
}
