// What the vocabulary says of one operator: how many inputs it takes and what its attributes hold. Types follow from it.
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

export interface OpSchema {
  readonly inputs: Arity;
  /** In the order in which they are printed. */
  readonly attrs: AttrSchema;
  /** Whether each element of the result is an expression over those of the inputs that broadcasting pairs with it. */
  readonly pointwise: boolean;
}

export interface Schema<N extends Arity, S extends AttrSchema, P extends boolean> extends OpSchema {
  readonly inputs: N;
  readonly attrs: S;
  readonly pointwise: P;
}

// No attributes: a schema of no keys, as the defaults below have it.
export type NoAttrs = Readonly<Record<never, AttrKind>>;

export function op<const N extends Arity>(inputs: N): Schema<N, NoAttrs, false>;
export function op<const N extends Arity, const S extends AttrSchema>(inputs: N, attrs: S): Schema<N, S, false>;
export function op(inputs: Arity, attrs: AttrSchema = {}): OpSchema {
  return { inputs, attrs, pointwise: false };
}

export function pointwise<const N extends 1 | 2 | 3>(inputs: N): Schema<N, NoAttrs, true>;
export function pointwise<const N extends 1 | 2 | 3, const S extends AttrSchema>(inputs: N, attrs: S): Schema<N, S, true>;
export function pointwise(inputs: 1 | 2 | 3, attrs: AttrSchema = {}): OpSchema {
  return { inputs, attrs, pointwise: true };
}

export type Optional<S extends AttrSchema> = { [A in keyof S]: S[A] extends "part" ? A : never }[keyof S];

/** The attributes that a schema describes. */
export type AttrsOf<S extends AttrSchema> = { readonly [A in Exclude<keyof S, Optional<S>>]: AttrTypes[S[A]] } & {
  readonly [A in Optional<S>]?: AttrTypes[S[A]];
};
