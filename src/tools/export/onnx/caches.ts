// KV caches of a generating graph: keys and values of earlier tokens enter as `past.…` and leave as `present.…`. In
// each run a cache grows by the number of tokens that its layer processed, possibly 0. Keys of given inputs are cached
// in the same way: later runs have none of their tokens.
import type { Model, Value } from "../../../language/check/model/model.js";
import { isOp } from "../../../language/check/model/types.js";
import { reachable, rootsOf } from "../../../language/check/model/model-values.js";
import { parentsOf, type CountRule } from "../../../ground/size/count-rules.js";
import type { Size } from "../../../ground/size/size.js";
import type { Element, GraphBuilder, Name, Port } from "./graph.js";
import { ExportError } from "../refused.js";
import {
  elementOf,
  operandsOf,
  refuse,
  type KeyCache,
  type Keys,
  type KeptState,
  type OwnKeys,
  type Scope,
  type Scored,
} from "./scope.js";

/** The input with each sequence's count of earlier tokens, and the output with the count after the run. */
export const LENGTH = "length";

interface Kept {
  readonly name: string;
  readonly element: Element;
  /** Contains the axis name at the dimension that grows. */
  readonly shape: readonly (number | string)[];
  readonly dim: number;
  readonly doc: string;
}

/** A cached tensor. */
export interface CachedTensor {
  /** The name without the prefix `past.` or `present.`. */
  readonly name: string;
  readonly past: Port;
  readonly present: Port;
}

export class Caches implements KeyCache {
  readonly tensors: CachedTensor[] = [];
  readonly #results: { readonly port: Port; readonly from: Name }[] = [];
  /** Tensors already appended to a cache in this run, by the tensor of new rows. */
  readonly #grown = new Map<Name, Name>();
  readonly #positionsOf = new Map<string, Name>();
  readonly #names = new Set<string>();
  readonly #paths: ReadonlyMap<string, string>;

  constructor(
    private readonly model: Pick<Model, "routes" | "axes">,
    private readonly graph: GraphBuilder,
    private readonly batch: string,
    /** The axis of the result. */
    private readonly root: string,
  ) {
    this.#paths = new Map(model.routes.map(({ axis, path }) => [axis, path]));
  }

  /** i64[B]: each sequence's count of earlier tokens. */
  begin(): Name {
    const doc = "number of earlier tokens of each sequence";
    const past: Port = { name: `past.${LENGTH}`, element: "i64", shape: [this.batch], doc };
    this.tensors.push({ name: LENGTH, past, present: { ...past, name: `present.${LENGTH}` } });
    return this.graph.input(past);
  }

  grows(axis: string): boolean {
    const rule = countOf(this.model, axis);
    return axis === this.root || (rule !== null && parentsOf(rule).some((parent) => this.grows(parent)));
  }

  keeps(axis: string): boolean {
    const rule = countOf(this.model, axis);
    return rule !== null && (rule.kind === "input" || parentsOf(rule).some((parent) => this.keeps(parent)));
  }

  end(cx: Scope, before: Name): void {
    const { present } = this.tensors.find(({ name }) => name === LENGTH)!; // added by `begin`
    this.#results.push({ port: present, from: cx.at.add(before, cx.axes.counts(this.root)) });
    for (const { port } of this.#results) cx.graph.reserve(port.name);
    cx.graph.path = "";
    for (const { port, from } of this.#results) cx.graph.output(port, from);
  }

  /** Appends keys and values to the cached rows of earlier runs. */
  appended(cx: Scope, value: Scored, own: OwnKeys): Keys {
    const { path } = value;
    if (value.op === "received") return refuse("attention that is received, while generating,", path);
    const { axis } = own;
    const { k, v, weight } = operandsOf(value);
    const kept = (name: string, rows: Name | null, of: Value | null): Name | null =>
      rows === null || of === null ? null : this.#tensor(cx, under(path, name), rows, of, axis);
    const positions = this.#positions(cx, axis);
    return {
      axis,
      keys: this.#tensor(cx, under(path, "keys"), own.keys, k, axis),
      values: kept("values", own.values, v),
      positions,
      exists: cx.graph.node("GreaterOrEqual", [positions, cx.graph.int(0)]),
      cached: true,
      weights: kept("weights", own.weights, weight),
    };
  }

  rowsOfPairs(cx: Scope, value: Value, axis: string): Name {
    return this.#tensor(cx, under(value.path, "pairs"), cx.get(value), value, axis);
  }

  state({ path, type: { dtype } }: Value, name: string, shape: readonly Size[]): KeptState {
    const own = this.#fresh(under(path, name));
    const dims = shape.map((size, i) => (i === 0 ? this.batch : numberOf(size, path)));
    const doc = `${name} that a recurrence goes on from`;
    const past: Port = { name: `past.${own}`, element: elementOf(dtype), shape: dims, doc };
    const port: Port = { ...past, name: `present.${own}` };
    this.tensors.push({ name: own, past, present: port });
    return { past: this.graph.input(past), keep: (from) => void this.#results.push({ port, from }) };
  }

  /** The positions of all cached and new rows, i64[B, S]; -1 marks rows that a sequence does not have. */
  #positions(cx: Scope, axis: string): Name {
    const known = this.#positionsOf.get(axis);
    if (known !== undefined) return known;
    const { at, graph, axes } = cx;
    const { length } = axes.rows(axis);
    const exists = axes.exists(axis);
    const own = exists === null ? axes.positions(axis) : at.where(exists, axes.positions(axis), graph.int(-1));
    const batch = axes.rows(this.batch).length;
    const rows = graph.node("Expand", [own, at.concat([batch, length], 0)]);
    const path = this.#pathOf(cx, axis);
    const grown = this.#grow(cx, rows, {
      name: `${path === "" ? "" : `${path}.`}positions`,
      element: "i64",
      shape: [this.batch, this.#rowsOf(cx, axis)],
      dim: 1,
      doc: `positions of the rows ${path === "" ? "of all tokens" : `of ${path}`}; -1 where there is none`,
    });
    this.#positionsOf.set(axis, grown);
    return grown;
  }

  /** Caches a tensor with the type of a value, except for the axis that grows. */
  #tensor(cx: Scope, name: string, from: Name, { type: { dtype, shape }, path }: Value, axis: string): Name {
    const known = this.#grown.get(from);
    if (known !== undefined) return known;
    const dim = shape.findIndex((size, i) => i > 0 && cx.axes.sequenceOf(size) !== null);
    const rows = this.#rowsOf(cx, axis);
    const made = this.#grow(cx, from, {
      name,
      element: elementOf(dtype),
      shape: shape.map((size, i) => (i === 0 ? this.batch : i === dim ? rows : numberOf(size, path))),
      dim,
      doc: `${name.slice(name.lastIndexOf(".") + 1)} of the earlier tokens`,
    });
    this.#grown.set(from, made);
    return made;
  }

  #grow({ graph, at }: Scope, rows: Name, { name: wanted, doc, dim, ...kept }: Kept): Name {
    const name = this.#fresh(wanted);
    const past: Port = { name: `past.${name}`, element: kept.element, shape: kept.shape, doc };
    const grown = kept.shape.map((size, i) => (i === dim ? String(size).replace("past", "present") : size));
    const present: Port = { ...past, name: `present.${name}`, shape: grown };
    this.tensors.push({ name, past, present });
    const from = at.concat([graph.input(past), rows], dim);
    this.#results.push({ port: present, from });
    return from;
  }

  #fresh(wanted: string): string {
    let name = wanted;
    for (let n = 2; this.#names.has(name); n++) name = `${wanted}.${n}`;
    this.#names.add(name);
    return name;
  }

  #pathOf(cx: Scope, axis: string): string {
    const rule = cx.axes.sequence(axis).count;
    return rule.kind === "input" && axis === this.root ? "" : (this.#paths.get(axis) ?? axis);
  }

  #rowsOf(cx: Scope, axis: string): string {
    const path = this.#pathOf(cx, axis);
    return path === "" ? "past" : `past.${path}`;
  }
}

const under = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

const numberOf = (size: Size, path: string): number =>
  typeof size === "number" ? size : refuse("a cache of rows whose size an axis decides", path);

const countOf = ({ axes }: Pick<Model, "axes">, name: string): CountRule | null => {
  const axis = axes.find((a) => a.name === name);
  return axis?.role === "sequence" ? axis.count : null;
};

/** The sequence of the inputs that a result of a generating model grows along. Throws ExportError if there is none. */
export function rootOf(model: Model): string {
  const inputs = model.axes.filter((axis) => axis.role === "sequence" && axis.count.kind === "input");
  const along = ({ type: { shape } }: Value, name: string): boolean =>
    shape.some((size) => typeof size !== "number" && size.key === name);
  const root = inputs.find(({ name }) => model.outputs.some(({ value }) => along(value, name)));
  if (!root)
    throw new ExportError(
      `caches need a result along a sequence of the inputs; ${model.name} has none`,
      "leave out --caches: the model has no tokens to continue",
    );
  expectKeysAlone(model, root.name, new Set(inputs.flatMap(({ name }) => (name === root.name ? [] : [name]))));
  return root.name;
}

/**
 * Throws ExportError if something of the growing tokens reads rows of another input sequence otherwise than as keys: in
 * later runs this sequence has no tokens.
 */
function expectKeysAlone(model: Model, root: string, given: ReadonlySet<string>): void {
  if (given.size === 0) return;
  const reads = new Map<Value, { readonly grows: boolean; readonly given: boolean }>();
  const values = reachable(rootsOf(model));
  const isOn = ({ type: { shape } }: Value, is: (axis: string) => boolean): boolean =>
    shape.some((size) => typeof size !== "number" && is(size.key));
  for (const value of values) {
    const own = value.inputs.map((input) => reads.get(input)!);
    const grows = own.some((read) => read.grows) || (value.op === "input" && isOn(value, (axis) => axis === root));
    const isGiven = own.some((read) => read.given) || (value.op === "input" && isOn(value, (axis) => given.has(axis)));
    reads.set(value, { grows, given: isGiven });
    if (!grows) continue;
    const keys = isOp(value, "attention") || isOp(value, "pair_attention") || isOp(value, "mass") ? keysIn(value) : [];
    const other = value.inputs.find((input) => {
      const read = reads.get(input)!;
      return read.given && !read.grows && !keys.includes(input);
    });
    if (other)
      throw new ExportError(
        `with caches, tokens that grow read a given sequence as keys alone; ${value.path || model.name} reads it ` +
          `otherwise (${value.op})`,
        "leave out --caches: each call then reads whole sequences; or give the values to an input without a sequence",
      );
  }
}

/** The operands that lie along the keys. */
function keysIn(value: Scored): readonly (Value | null)[] {
  const { k, v, weight } = operandsOf(value);
  return [k, v, weight];
}
