// Expressions of Python as text, and what the text of an operation may refer to.
import type { Model, Value } from "../../language/check/model.js";
import type { Holes } from "./holes.js";

export interface Scope {
  readonly model: Model;
  readonly holes: Holes;
  /** An operand, in parentheses unless it binds as tightly as a call. */
  readonly tight: (value: Value) => string;
  /** An operand as an argument. */
  readonly loose: (value: Value) => string;
  /** The expression of a sequence axis. */
  readonly axis: (name: string) => string;
}

/** Text, and whether it binds as tightly as a call. */
export interface Text {
  readonly text: string;
  readonly tight: boolean;
}

export const call = (text: string): Text => ({ text, tight: true });
export const infix = (text: string): Text => ({ text, tight: false });

export const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** Numbers as a tuple of Python. */
export const tuple = (all: readonly number[]): string => `(${all.join(", ")}${all.length === 1 ? "," : ""})`;
