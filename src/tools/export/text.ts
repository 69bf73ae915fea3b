// Python expressions as text, and the context that writers of expressions receive.
import type { Model, Value } from "../../language/check/model/model.js";
import { toNumber } from "../../ground/numerics/rational.js";

/** A number in Python syntax, and a suggested name for the parameter that may hold the number. */
export interface Hole {
  readonly text: string;
  readonly hint: string;
}

const MARK = /⟦(\d+)⟧/g;

/** Collects the numbers of a text, in text order. */
export class Holes {
  readonly all: Hole[] = [];

  /** Returns the mark that stands for the number in the text. */
  add(text: string, hint: string): string {
    this.all.push({ text, hint });
    return `⟦${this.all.length - 1}⟧`;
  }
}

/** Replaces each mark. */
export const filled = (text: string, at: (hole: number) => string): string =>
  text.replace(MARK, (_, hole: string) => at(Number(hole)));

/** Formats a number in Python syntax. */
export function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return value > 0 ? 'float("inf")' : '-float("inf")';
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return value.toFixed(0);
  return Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

/** Formats a number as a Python float, with ".0" if the value is an integer. */
export const pythonFloat = (value: number): string =>
  /^-?\d+$/.test(pythonNumber(value)) ? `${pythonNumber(value)}.0` : pythonNumber(value);

/** The indices of the holes that a text has marks for. */
export const marksIn = (text: string): readonly number[] => [...text.matchAll(MARK)].map(([, hole]) => Number(hole));

/** All texts in which a hole may spell this number. */
export const numberTexts = (number: Parameters<typeof toNumber>[0]): readonly string[] => [
  pythonNumber(toNumber(number)),
  pythonFloat(toNumber(number)),
  number.den === 1n ? `${number.num}` : `Fraction(${number.num}, ${number.den})`,
];

export interface Scope {
  readonly model: Model;
  readonly holes: Holes;
  /** An operand, parenthesized unless it binds as tightly as a call. */
  readonly tight: (value: Value) => string;
  /** An operand for use as an argument, without parentheses. */
  readonly loose: (value: Value) => string;
  /** A tensor that the block reads; null if it reads none. */
  readonly given: string | null;
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
