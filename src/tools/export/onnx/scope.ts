// What the emitter of an operation is given: the graph, its operands, and the axes of where it is computed.
import type { LogicalType, Model, Value } from "../../../language/check/model.js";
import type { DType } from "../../../ground/base/dtype.js";
import { equalShapes } from "../../../language/check/types.js";
import { sourceOf } from "../../../language/check/input-ranges.js";
import type { Size } from "../../../ground/size/size.js";
import type { AxisTable } from "./axes.js";
import type { Element, GraphBuilder, Name } from "./graph.js";
import type { Shorthand } from "./shorthand.js";
import type { Fraction } from "./sizes.js";

/** The keys of an attention. */
export interface OwnKeys {
  /** The axis along which they lie. */
  readonly axis: string;
  readonly keys: Name;
  /** Null where only the attention that keys receive is wanted. */
  readonly values: Name | null;
  /** f32[B, S]; null where all weigh the same. */
  readonly weights: Name | null;
}

/** What the queries of one run attend to: its own keys, or those of a cache. */
export interface Keys extends OwnKeys {
  /** i64[B or 1, S]; -1 where there is no key. */
  readonly positions: Name;
  /** bool[B, S]; null where all exist. */
  readonly exists: Name | null;
}

/** Puts the keys of an attention behind those of earlier runs. */
export interface KeyCache {
  appended(cx: Scope, value: Value<"attention"> | Value<"received">, own: OwnKeys): Keys;
}

export interface Scope {
  readonly model: Model;
  readonly graph: GraphBuilder;
  readonly at: Shorthand;
  readonly axes: AxisTable;
  /** Null where the whole sequence is computed at once. */
  readonly caches: KeyCache | null;
  /** Where all tokens are computed, and so keys, if here it is the last of each sequence alone. */
  readonly whole?: Scope;
  /** The tensor of a value, with the shape of its type. */
  readonly get: (value: Value) => Name;
  readonly weight: (path: string) => Name;
  /** An input as the caller gives it. */
  readonly input: (name: string) => Name;
  /** Whether an input has numbers of rows or classes, which are not held within these: engines refuse others. */
  readonly isIndex: (name: string) => boolean;
  readonly live: (name: string) => Fraction;
}

/** How a value is computed: whole numbers have 64 bits, floats 32, whatever the model says of them. */
export const elementOf = (dtype: DType): Element & ("f32" | "i64" | "bool") =>
  dtype === "bool" ? "bool" : dtype === "u32" || dtype === "i32" ? "i64" : "f32";

/** A tensor of one shape as one of another, to which it broadcasts. */
export const broadcast = ({ graph, axes }: Scope, x: Name, from: readonly Size[], to: readonly Size[]): Name =>
  equalShapes(from, to) ? x : graph.node("Expand", [x, axes.dims(to)]);

/** A number of a type, as a scalar. */
export const scalar = ({ graph }: Scope, value: number, dtype: DType): Name => {
  const element = elementOf(dtype);
  return element === "i64"
    ? graph.int(BigInt(Math.trunc(value)))
    : element === "bool"
      ? graph.constant("bool", [], [Number(value !== 0)])
      : graph.float(value);
};

/** Zeros for tokens that do not exist. */
export function existing(cx: Scope, { dtype, shape }: LogicalType, x: Name): Name {
  return shape.reduce<Name>((y, size, dim) => {
    const axis = cx.axes.sequenceOf(size);
    const exists = axis === null ? null : cx.axes.exists(axis);
    return exists === null ? y : kept(cx, cx.at.beside(exists, dim, shape.length), y, dtype);
  }, x);
}

/** a where the condition holds, else b. Engines choose among truth values by logic alone. */
export function chosen({ at, graph }: Scope, condition: Name, a: Name, b: Name, dtype: DType): Name {
  if (dtype !== "bool") return at.where(condition, a, b);
  return graph.node("Or", [at.and(condition, a), at.and(at.not(condition), b)]);
}

/** x where the condition holds, else 0 or false. */
export const kept = (cx: Scope, condition: Name, x: Name, dtype: DType): Name =>
  dtype === "bool" ? cx.at.and(condition, x) : cx.at.where(condition, x, scalar(cx, 0, dtype));

/** Whether what is looked up is an input that has numbers of rows or classes. */
export function isGiven(cx: Scope, indices: Value | undefined): boolean {
  const source = sourceOf(indices);
  return source !== null && cx.isIndex(source.name);
}
