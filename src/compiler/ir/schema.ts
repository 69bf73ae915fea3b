// The schema of an operator: its number of inputs and its attributes' kinds. The types of nodes derive from the schema.
import type { DType, ReducedType } from "../../ground/base/dtype.js";
import type { Size } from "../../ground/size/size.js";
import type { Pair } from "./pair.js";

/**
 * A slice of a weight along one axis, which has `of` elements in the whole weight. The slice begins at `start`; the
 * node's shape gives its length.
 */
export interface WeightPart {
  readonly axis: number;
  readonly start: number;
  readonly of: number;
}

/** The TypeScript type of each kind of attribute. */
export interface AttrTypes {
  text: string;
  number: number;
  flag: boolean;
  dtype: DType;
  /** A dtype for the value of a size. */
  numeric: "f32" | "u32" | "i32";
  size: Size;
  sizes: readonly Size[];
  numbers: readonly number[];
  numbersOrNull: readonly number[] | null;
  numberOrNull: number | null;
  part: WeightPart;
  sizeIfAny: Size;
  numberIfAny: number;
  /** Optional; an absent flag is false. */
  flagIfAny: boolean;
  reduced: ReducedType;
  reducedIfAny: ReducedType;
  pair: Pair;
}

export type AttrKind = keyof AttrTypes;
export type AttrSchema = Readonly<Record<string, AttrKind>>;

/** The number of inputs, or its minimum and maximum; `any`: any number; `some`: at least one. */
export type Arity = number | readonly [number, number] | "any" | "some";

/**
 * How the compiler implements an operator:
 * - `source`: a buffer that the runtime fills; `constant`: an expression without inputs;
 * - `pick`: one of a node's several results, in the same memory;
 * - `same`: a view with the elements of the first input in the same order; `moved`: a view with elements reordered,
 *   repeated or selected;
 * - `pointwise`: an expression over elements of the inputs, paired by broadcasting;
 * - `kernel`: its own kernels (`schedule/kernels/`);
 * - `rewritten`: replaced by other operators before scheduling.
 */
export type OpKind = "source" | "constant" | "pick" | "same" | "moved" | "pointwise" | "kernel" | "rewritten";

export interface OpSchema {
  readonly inputs: Arity;
  /** In printing order. */
  readonly attrs: AttrSchema;
  readonly kind: OpKind;
  /**
   * The index of the result with the starts of the axis that the operator defines; the attribute `axis` names the axis.
   */
  readonly makes?: number;
}

export interface Schema<N extends Arity, S extends AttrSchema, P extends OpKind> extends OpSchema {
  readonly inputs: N;
  readonly attrs: S;
  readonly kind: P;
}

/** No attributes. */
export type NoAttrs = Readonly<Record<never, AttrKind>>;

/** Returns a function that creates schemas of one kind. */
export function schemasOf<const P extends OpKind>(kind: P) {
  function schema<const N extends Arity>(inputs: N): Schema<N, NoAttrs, P>;
  function schema<const N extends Arity, const S extends AttrSchema>(inputs: N, attrs: S): Schema<N, S, P>;
  function schema(inputs: Arity, attrs: AttrSchema = {}): OpSchema {
    return { inputs, attrs, kind };
  }
  return schema;
}

/** The schema of an operator that defines an axis; `makes` is the index of the result with the axis's starts. */
export const definesAxis = <S extends OpSchema & { readonly attrs: { readonly axis: "text" } }>(
  result: number,
  schema: S,
): S & { readonly makes: number } => ({ ...schema, makes: result });

export type Optional<S extends AttrSchema> = {
  [A in keyof S]: S[A] extends "part" | "sizeIfAny" | "numberIfAny" | "flagIfAny" | "reducedIfAny" ? A : never;
}[keyof S];

/** The type of the attributes that a schema describes. */
export type AttrsOf<S extends AttrSchema> = { readonly [A in Exclude<keyof S, Optional<S>>]: AttrTypes[S[A]] } & {
  readonly [A in Optional<S>]?: AttrTypes[S[A]];
};
