// The context for emitting an operation: the graph, the operands, and the axes at this place. Refuses operations
// without an ONNX form.
import type { LogicalType, Model, Value } from "../../../language/check/model/model.js";
import { pairInputs, type Attending } from "../../../language/check/model/pairs.js";
import type { DType } from "../../../ground/base/dtype.js";
import { equalShapes } from "../../../language/check/model/types.js";
import { sourceOf } from "../../../language/check/model/input-ranges.js";
import type { Size } from "../../../ground/size/size.js";
import type { AxisTable } from "./axes.js";
import type { Element, GraphBuilder, Name } from "./graph.js";
import type { Shorthand } from "./shorthand.js";
import type { Fraction } from "./sizes.js";
import { ExportError } from "../refused.js";

/** An operation with the scores of queries and keys. */
export type Scored = Attending | Value<"received">;

/** The operands of such an operation. v is null if the operation needs only scores. */
export interface Operands {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value | null;
  readonly weight: Value | null;
  readonly mask: Value | null;
  readonly bias: Value | null;
}

export function operandsOf(value: Scored): Operands {
  const received = value.op === "received";
  const { rows, ...pairs } = received
    ? { rows: value.inputs, weight: null, mask: null, bias: null }
    : pairInputs(value);
  return { q: rows[0]!, k: rows[1]!, v: rows[2] ?? null, ...pairs };
}

/** The keys that one attention computes. */
export interface OwnKeys {
  /** The axis of the keys. */
  readonly axis: string;
  readonly keys: Name;
  /** Null if only the attention received by each key is wanted. */
  readonly values: Name | null;
  /** f32[B, S]; null if all keys weigh the same. */
  readonly weights: Name | null;
}

/** The keys that a run's queries attend to: the run's keys, or the whole cache. */
export interface Keys extends OwnKeys {
  /** i64[B or 1, S]; -1 marks a missing key. */
  readonly positions: Name;
  /** bool[B, S]; null if all exist. */
  readonly exists: Name | null;
  /** Whether keys of earlier runs are among them. */
  readonly cached: boolean;
}

/** What a recurrence keeps between runs, of fixed size; zeros at the beginning. */
export interface KeptState {
  readonly past: Name;
  readonly keep: (next: Name) => void;
}

/** Appends the keys of an attention to the keys of earlier runs. */
export interface KeyCache {
  /** Whether tokens of an axis come run by run: it is the axis of the result, or a route on it. */
  grows(axis: string): boolean;
  /**
   * Whether the keys of an axis are kept for queries that grow: where they grow too, or are of an input that the first
   * run alone has.
   */
  keeps(axis: string): boolean;
  appended(cx: Scope, value: Scored, own: OwnKeys): Keys;
  /** The rows of a value that pairs of queries and keys read, for the keys of this run and of earlier ones. */
  rowsOfPairs(cx: Scope, value: Value, axis: string): Name;
  state(value: Value, name: string, shape: readonly Size[]): KeptState;
}

/** The caches if the tokens of an axis come run by run; else null. */
export const cachesOn = ({ caches }: Pick<Scope, "caches">, axis: string): KeyCache | null =>
  caches?.grows(axis) ? caches : null;

export interface Scope {
  readonly model: Model;
  readonly graph: GraphBuilder;
  readonly at: Shorthand;
  readonly axes: AxisTable;
  /** Null if the whole sequence is computed at once. */
  readonly caches: KeyCache | null;
  /**
   * If this scope computes only each sequence's last token: the scope that computes all tokens, and therefore the keys.
   */
  readonly whole?: Scope;
  /** The tensor of a value, with the shape of its type. */
  readonly get: (value: Value) => Name;
  readonly weight: (path: string) => Name;
  /** An input as passed by the caller. */
  readonly input: (name: string) => Name;
  /**
   * Whether an input holds row or class numbers. These are not clamped, because engines reject numbers out of range.
   */
  readonly isIndex: (name: string) => boolean;
  readonly live: (name: string) => Fraction;
}

/** The element type for computing a value: integers have 64 bits and floats 32, regardless of the model's type. */
export const elementOf = (dtype: DType): Element & ("f32" | "i64" | "bool") =>
  dtype === "bool" ? "bool" : dtype === "u32" || dtype === "i32" ? "i64" : "f32";

/** Broadcasts a tensor from one shape to another. */
export const broadcast = ({ graph, axes }: Scope, x: Name, from: readonly Size[], to: readonly Size[]): Name =>
  equalShapes(from, to) ? x : graph.node("Expand", [x, axes.dims(to)]);

/** f16 values are computed in 32 bits and rounded when stored. */
export const rounded = ({ at }: Scope, x: Name): Name => at.cast(at.cast(x, "f16"), "f32");

/** A scalar with the given type. */
export const scalar = ({ graph }: Scope, value: number, dtype: DType): Name => {
  const element = elementOf(dtype);
  return element === "i64"
    ? graph.int(BigInt(Math.trunc(value)))
    : element === "bool"
      ? graph.constant("bool", [], [Number(value !== 0)])
      : graph.float(value);
};

/** Replaces rows of non-existing tokens by zeros. */
export function existing(cx: Scope, { dtype, shape }: LogicalType, x: Name): Name {
  return shape.reduce<Name>((y, size, dim) => {
    const axis = cx.axes.sequenceOf(size);
    const exists = axis === null ? null : cx.axes.exists(axis);
    return exists === null ? y : kept(cx, cx.at.unsqueezedTo(exists, dim, shape.length), y, dtype);
  }, x);
}

/** a if the condition holds, else b. Some engines have no Where for booleans, so booleans use And and Or. */
export function chosen({ at, graph }: Scope, condition: Name, a: Name, b: Name, dtype: DType): Name {
  if (dtype !== "bool") return at.where(condition, a, b);
  return graph.node("Or", [at.and(condition, a), at.and(at.not(condition), b)]);
}

/** x if the condition holds, else 0 or false. */
export const kept = (cx: Scope, condition: Name, x: Name, dtype: DType): Name =>
  dtype === "bool" ? cx.at.and(condition, x) : cx.at.where(condition, x, scalar(cx, 0, dtype));

/** Whether the indices of a lookup come directly from an input with row or class numbers. */
export function isGiven(cx: Scope, indices: Value | undefined): boolean {
  const source = sourceOf(indices);
  return source !== null && cx.isIndex(source.name);
}

/** Throws ExportError: `what`, in the block at `path`, cannot be exported. */
export function refuse(what: string, path: string): never {
  throw new ExportError(`${what}${path === "" ? "" : ` (in ${path})`} has no form in ONNX yet`);
}
