// Python expressions as text, and the context that writers of expressions receive.
import type { Model, Value } from "../../language/check/model.js";
import type { Holes } from "./holes.js";

export interface Scope {
  readonly model: Model;
  readonly holes: Holes;
  /** An operand, parenthesized unless it binds as tightly as a call. */
  readonly tight: (value: Value) => string;
  /** An operand for use as an argument, without parentheses. */
  readonly loose: (value: Value) => string;
  /** The expression for a sequence axis. */
  readonly axis: (name: string) => string;
}

/** An expression. `tight`: whether the expression binds as tightly as a call. */
export interface Text {
  readonly text: string;
  readonly tight: boolean;
}

export const call = (text: string): Text => ({ text, tight: true });
export const infix = (text: string): Text => ({ text, tight: false });

export const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** A Python tuple literal. */
export const tuple = (all: readonly number[]): string => `(${all.join(", ")}${all.length === 1 ? "," : ""})`;
