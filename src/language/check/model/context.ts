// Types that the checker's files share: the values of expressions, and the operations available in a function body
// during unrolling.
import type { Code, DataOf } from "../../diagnostics/catalogue.js";
import type { Note } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import type { CountRule } from "../../../ground/size/count-rules.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { SizeExpr } from "../../../ground/size/size.js";
import type { Expr } from "../../syntax/ast.js";
import type {
  EntryChoice,
  LiveParameter,
  LogicalAttrs,
  LogicalAxis,
  LogicalOp,
  LogicalType,
  Phase,
  Route,
  Value,
} from "./model.js";

export type ConstValue =
  /** Exact. `form` is its kind: int, ratio (12.5%, 1/8) or float. */
  | { readonly kind: "number"; readonly value: Rational; readonly form: "int" | "float" | "ratio" }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "none" }
  /**
   * `broken`: whether an item, at any depth, is an error. Lists may share items; every recursive walk must visit a
   * shared list once.
   */
  | { readonly kind: "list"; readonly items: readonly ConstValue[]; readonly broken: boolean }
  | { readonly kind: "instance"; readonly instance: InstanceRef }
  /** A size over axes or live parameters: `ceil(capacity * T)`. Never a constant. */
  | { readonly kind: "size"; readonly size: SizeExpr }
  | { readonly kind: "tensor"; readonly value: Value }
  /** The value of `top`, `above` or `those`. */
  | { readonly kind: "route"; readonly value: Route }
  /** The value of `top`, `above` or `those` along a fixed axis. */
  | { readonly kind: "choice"; readonly value: EntryChoice }
  /** `blocks[choice]`: a list of blocks indexed by a choice, to be called. */
  | { readonly kind: "experts"; readonly blocks: ListValue; readonly choice: EntryChoice }
  /** Several named results of a function. */
  | { readonly kind: "tuple"; readonly names: readonly string[]; readonly items: readonly ConstValue[] }
  /** A value whose error has been reported: every use of it is silently an error too. */
  | { readonly kind: "error" };

export const ERROR: ConstValue = { kind: "error" };

/** A block instance as seen by tensor operations: by name only. */
export interface InstanceRef {
  readonly path: string;
  readonly block: string;
}

export type ListValue = Extract<ConstValue, { kind: "list" }>;
export type TensorValue = Extract<ConstValue, { kind: "tensor" }>;
export type RouteValue = Extract<ConstValue, { kind: "route" }>;

/** The operations available to builtins and operators in the body being unrolled. */
export interface Emitter {
  readonly phase: Phase;
  /** Whether every choice of tokens takes all tokens: the model with nothing skipped. */
  readonly dense: boolean;
  /** Adds an operation; its path is the path of the call being unrolled. */
  emit<K extends LogicalOp>(
    op: K,
    inputs: readonly Value[],
    attrs: LogicalAttrs[K],
    type: LogicalType,
    span: Span,
  ): Value<K>;
  report<C extends Code>(code: C, data: DataOf<C>, span: Span, notes?: readonly Note[]): void;
  axis(name: string): LogicalAxis;
  /** The batch axis of the program; null if no input has a batch axis. */
  readonly batch: string | null;
  /** The live parameter with this name; capacities are checked with the parameter's default. */
  live(name: string): LiveParameter;
  /** Creates a sequence axis with a unique name based on `hint`, which is the name that users see. */
  makeAxis(hint: string, bound: number | null, count: CountRule): string;
  /** Creates an entry axis in the same way. */
  makeEntryAxis(hint: string, bound: number, ragged: boolean): string;
  /** A stream name for the random values of a call: the call's path and a number. */
  stream(): string;
}

/** An evaluated argument of a builtin. */
export interface Argument {
  readonly value: ConstValue;
  readonly span: Span;
  /** The argument's expression, for messages that point inside the argument. */
  readonly expr?: Expr;
}

export interface BuiltinParam {
  readonly name: string;
  readonly optional?: true;
  /** Accepted by name only: `axis:`. */
  readonly named?: true;
}

/**
 * A built-in function on tensors. The caller has bound the arguments and reported missing, surplus and misnamed ones;
 * no argument is an error value.
 */
export interface Builtin {
  readonly params: readonly BuiltinParam[];
  /** Whether further named arguments are accepted (`rearrange`'s sizes); they are passed with their names. */
  readonly rest?: true;
  readonly doc: string;
  apply(body: Emitter, args: ReadonlyMap<string, Argument>, span: Span): ConstValue;
}

/** One index in `x[…]`, evaluated. */
export type EvaluatedIndex =
  | { readonly kind: "at"; readonly value: ConstValue; readonly span: Span }
  | {
      readonly kind: "slice";
      readonly start: Argument | null;
      readonly stop: Argument | null;
      readonly step: Argument | null;
      readonly span: Span;
    }
  | { readonly kind: "new-axis"; readonly span: Span }
  | { readonly kind: "rest"; readonly span: Span };
