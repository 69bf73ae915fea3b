// Parses the printed form of a size, as used in IR text and in compiled programs.
import { mapAxis, type Axis } from "./axes.js";
import { parseRational, type Rational } from "../numerics/rational.js";
import {
  addSizes,
  applySize,
  axisSize,
  liveSize,
  multiplySizes,
  normal,
  rowsSize,
  sizeOf,
  type Size,
  type SizeFunction,
} from "./size.js";

const TOKEN = /\s*(-?\d+(?:\/\d+)?|[A-Za-z_][A-Za-z0-9_.']*|[()+*,])/y;
const FUNCTIONS: Readonly<Record<string, SizeFunction>> = {
  __proto__: null as never,
  ceil: "ceil",
  floor: "floor",
  round: "round",
  min: "min",
  max: "max",
  mod: "mod",
  div: "div",
};

/**
 * The limits on terms, and on factors of a term, which no real program reaches. They stop the expansion of adversarial
 * input.
 */
const MAX_TERMS = 1024;
const MOST_FACTORS = 64;

const termsOf = (size: Size): number => (typeof size === "number" ? 1 : size.terms.length);
const factorsOf = (size: Size): number =>
  typeof size === "number" ? 0 : Math.max(0, ...size.terms.map((t) => t.atoms.length));

/** Parses a size. Throws a SyntaxError that quotes the text if it is not a size. */
export function parseSize(text: string): Size {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const m = TOKEN.exec(text);
    if (!m) throw new SyntaxError(`not a size: ${JSON.stringify(text.slice(0, 200))} at ${at}`);
    tokens.push(m[1]!);
  }
  let i = 0;
  const fail = (): never => {
    throw new SyntaxError(`not a size: ${JSON.stringify(text.slice(0, 200))}`);
  };
  const expect = (t: string): void => {
    if (tokens[i++] !== t) fail();
  };
  const sum = (depth: number): Size => {
    if (depth > 64) fail();
    let s = product(depth);
    while (tokens[i] === "+") {
      i++;
      s = addSizes(s, product(depth));
      if (termsOf(s) > MAX_TERMS) fail();
    }
    return s;
  };
  const product = (depth: number): Size => {
    let s = factor(depth);
    while (tokens[i] === "*") {
      i++;
      const f = factor(depth);
      if (termsOf(s) * termsOf(f) > MAX_TERMS || factorsOf(s) + factorsOf(f) > MOST_FACTORS) fail();
      s = multiplySizes(s, f);
    }
    return s;
  };
  const factor = (depth: number): Size => {
    const t = tokens[i++];
    if (t === undefined) return fail();
    const number = parseRational(t);
    if (number) return normal(sizeOf(number));
    if (!/^[A-Za-z_]/.test(t)) return fail();
    if (tokens[i] !== "(") return axisSize(t);
    i++;
    if (t === "rows" || t === "live") {
      const name = tokens[i++] ?? fail();
      expect(")");
      return t === "rows" ? rowsSize(name) : liveSize(name);
    }
    const fn = FUNCTIONS[t];
    if (fn === undefined) return fail();
    const args = [sum(depth + 1)];
    while (tokens[i] === ",") {
      i++;
      args.push(sum(depth + 1));
    }
    expect(")");
    const arity = fn === "mod" || fn === "div" ? 2 : fn === "min" || fn === "max" ? args.length : 1;
    // Division by the constant 0 has no value.
    if (args.length !== arity || ((fn === "mod" || fn === "div") && args[1] === 0)) fail();
    return applySize(fn, args);
  };
  const s = sum(0);
  if (i !== tokens.length) fail();
  return s;
}

/** A size as stored in a program: an integer, or its printed form. */
export const sizeOfText = (text: number | string): Size => (typeof text === "number" ? text : parseSize(text));

export function rationalOf(text: string): Rational {
  const value = parseRational(text);
  if (!value) throw new SyntaxError(`not a rational number: ${JSON.stringify(text)}`);
  return value;
}

/** An axis whose sizes and ratios are printed. */
export const parseAxis = (axis: Axis<number | string, string>): Axis =>
  mapAxis(axis, { size: sizeOfText, ratio: rationalOf });
