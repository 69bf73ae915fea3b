// What the vocabulary says of one operator: how many inputs it takes and what its attributes hold. Types follow from
// it.
import type { DType } from "../base/dtype.js";
import type { Size } from "../size/size.js";

/** The elements from `start` on along one axis of a weight that has `of` of them there; how many, its shape says. */
export interface WeightPart {
  readonly axis: number;
  readonly start: number;
  readonly of: number;
}

/** What an attribute holds, by kind. */
export interface AttrTypes {
  text: string;
  number: number;
  flag: boolean;
  dtype: DType;
  /** A dtype that a size can have. */
  numeric: "f32" | "u32" | "i32";
  size: Size;
  sizes: readonly Size[];
  numbers: readonly number[];
  numbersOrNull: readonly number[] | null;
  numberOrNull: number | null;
  /** May be absent. */
  part: WeightPart;
}

export type AttrKind = keyof AttrTypes;
export type AttrSchema = Readonly<Record<string, AttrKind>>;

/** A number of inputs; the least and the most; `any`, or `some`: at least one. */
export type Arity = number | readonly [number, number] | "any" | "some";

/**
 * What becomes of an operator in a program:
 * - `source`: a slot that the runtime fills; `constant`: an expression without inputs;
 * - `pick`: one result of a node that has several, its memory;
 * - `same` and `moved`: a view, the elements of the first input in the same order, or in another, repeated or fewer;
 * - `pointwise`: an expression over the elements of the inputs that broadcasting pairs;
 * - `kernel`: kernels of its own (`schedule/kernels/`);
 * - `rewritten`: replaced by other operators before it is scheduled.
 */
export type OpKind = "source" | "constant" | "pick" | "same" | "moved" | "pointwise" | "kernel" | "rewritten";

export interface OpSchema {
  readonly inputs: Arity;
  /** In the order in which they are printed. */
  readonly attrs: AttrSchema;
  readonly kind: OpKind;
  /** The result that is the starts of the axis that it makes, which its attribute `axis` names. */
  readonly makes?: number;
}

export interface Schema<N extends Arity, S extends AttrSchema, P extends OpKind> extends OpSchema {
  readonly inputs: N;
  readonly attrs: S;
  readonly kind: P;
}

/** No attributes. */
export type NoAttrs = Readonly<Record<never, AttrKind>>;

/** A function that makes schemas of one kind. */
export function schemasOf<const P extends OpKind>(kind: P) {
  function schema<const N extends Arity>(inputs: N): Schema<N, NoAttrs, P>;
  function schema<const N extends Arity, const S extends AttrSchema>(inputs: N, attrs: S): Schema<N, S, P>;
  function schema(inputs: Arity, attrs: AttrSchema = {}): OpSchema {
    return { inputs, attrs, kind };
  }
  return schema;
}

/** The schema of an operator that makes an axis: which result is its starts. */
export const makesAxis = <S extends OpSchema & { readonly attrs: { readonly axis: "text" } }>(
  result: number,
  schema: S,
): S & { readonly makes: number } => ({ ...schema, makes: result });

export type Optional<S extends AttrSchema> = { [A in keyof S]: S[A] extends "part" ? A : never }[keyof S];

/** The attributes that a schema describes. */
export type AttrsOf<S extends AttrSchema> = { readonly [A in Exclude<keyof S, Optional<S>>]: AttrTypes[S[A]] } & {
  readonly [A in Optional<S>]?: AttrTypes[S[A]];
};
