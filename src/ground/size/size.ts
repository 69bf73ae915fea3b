// Sizes: exact integers or small expressions over axes, in a canonical form, so that equal sizes compare equal.
import { bug } from "../base/invariant.js";
import * as q from "../numerics/rational.js";
import type { Rational } from "../numerics/rational.js";

/**
 * A size is a sum of terms, each an exact coefficient times a product of atoms.
 * - `axis T`: for a sequence axis the length of the longest sequence (inside a count rule, of each sequence); for any
 *   other axis its extent
 * - `rows T`: the tokens of all sequences on a sequence axis, which is the extent of packed rows
 * - `live name`: a parameter that is set for each run
 */
export type Atom =
  | { readonly kind: "axis"; readonly axis: string }
  | { readonly kind: "rows"; readonly axis: string }
  | { readonly kind: "live"; readonly name: string }
  | { readonly kind: SizeFunction; readonly args: readonly SizeExpr[] };

export type SizeFunction = "ceil" | "floor" | "round" | "min" | "max" | "mod" | "div";

export interface Term {
  readonly coefficient: Rational;
  readonly atoms: readonly { readonly atom: Atom; readonly key: string }[];
}

export interface SizeExpr {
  readonly terms: readonly Term[];
  /** The printed form, which `parseSize` reads; equal for equal sizes. */
  readonly key: string;
}

/** An integer known at compile time, or an expression over axes. */
export type Size = number | SizeExpr;

export const sizeOf = (value: Rational): SizeExpr => make([{ coefficient: value, atoms: [] }]);
export const axisSize = (axis: string): SizeExpr => atomSize({ kind: "axis", axis });
export const rowsSize = (axis: string): SizeExpr => atomSize({ kind: "rows", axis });
export const liveSize = (name: string): SizeExpr => atomSize({ kind: "live", name });

const exprs = new Map<number, SizeExpr>();
export function toExpr(size: Size): SizeExpr {
  if (typeof size !== "number") return size;
  let e = exprs.get(size);
  if (!e) {
    e = sizeOf(q.rational(size));
    if (exprs.size < 4096) exprs.set(size, e);
  }
  return e;
}

/** The exact value if the size mentions no axis or parameter, else null. */
export function constantOf(size: Size): Rational | null {
  if (typeof size === "number") return q.rational(size);
  if (size.terms.length === 0) return q.ZERO;
  const [t] = size.terms;
  return size.terms.length === 1 && t!.atoms.length === 0 ? t!.coefficient : null;
}

/**
 * Converts integer constants to numbers, so that `typeof size === "number"` holds for exactly the static integer sizes.
 */
export function normal(size: Size): Size {
  const c = constantOf(size);
  return c !== null && q.isInteger(c) ? Number(c.num) : size;
}

export const equalSizes = (a: Size, b: Size): boolean =>
  typeof a === "number" && typeof b === "number" ? a === b : toExpr(a).key === toExpr(b).key;

/**
 * Cache of sums or products, keyed by the left operand: the layers of a model compute the same sizes from the same
 * objects.
 */
type ResultCache = WeakMap<SizeExpr, Map<Size, Size>>;
const sums: ResultCache = new WeakMap();
const products: ResultCache = new WeakMap();

function once(cache: ResultCache, a: Size, b: Size, make: (a: Size, b: Size) => Size): Size {
  const [whole, other] = typeof a === "number" ? [b, a] : [a, b];
  if (typeof whole === "number") return make(a, b);
  let known = cache.get(whole);
  if (!known) cache.set(whole, (known = new Map()));
  let size = known.get(other);
  if (size === undefined) known.set(other, (size = make(whole, other)));
  return size;
}

export const addSizes = (a: Size, b: Size): Size =>
  typeof a === "number" && typeof b === "number" ? a + b : once(sums, a, b, sum);

const sum = (a: Size, b: Size): Size => normal(make([...toExpr(a).terms, ...toExpr(b).terms]));

export function multiplySizes(a: Size, b: Size): Size {
  if (typeof a === "number" && typeof b === "number" && Number.isSafeInteger(a * b)) return a * b;
  return once(products, a, b, product);
}

function product(a: Size, b: Size): Size {
  const terms: Term[] = [];
  for (const s of toExpr(a).terms)
    for (const t of toExpr(b).terms)
      terms.push({
        coefficient: q.multiply(s.coefficient, t.coefficient),
        atoms: [...s.atoms, ...t.atoms].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0)),
      });
  return normal(make(terms));
}

export const subtractSizes = (a: Size, b: Size): Size => addSizes(a, multiplySizes(-1, b));

/** a / b, exact; null if b is the constant 0. */
export function divideSizes(a: Size, b: Size): Size | null {
  const c = constantOf(b);
  if (c !== null) return c.num === 0n ? null : normal(multiplySizes(sizeOf(q.divide(q.ONE, c)), a));
  return applySize("div", [a, b]);
}

/** `ceil floor round min max mod div`, folded if all arguments are constants. */
export function applySize(fn: SizeFunction, args: readonly Size[]): Size {
  const constants = args.map(constantOf);
  if (constants.every((c) => c !== null)) return normal(sizeOf(foldSize(fn, constants)));
  if ((fn === "ceil" || fn === "floor" || fn === "round") && isWhole(args[0]!)) return args[0]!;
  if ((fn === "min" || fn === "max") && args.every((a) => equalSizes(a, args[0]!))) return args[0]!;
  return atomSize({ kind: fn, args: args.map(toExpr) });
}

function foldSize(fn: SizeFunction, args: readonly Rational[]): Rational {
  const [a, b] = args as [Rational, Rational];
  switch (fn) {
    case "ceil":
      return q.ceil(a);
    case "floor":
      return q.floor(a);
    case "round":
      return q.round(a);
    case "min":
      return args.reduce((x, y) => (q.compare(x, y) <= 0 ? x : y));
    case "max":
      return args.reduce((x, y) => (q.compare(x, y) >= 0 ? x : y));
    case "mod":
      return q.modulo(a, b);
    case "div":
      return q.divide(a, b);
    default:
      return bug(`size function ${String(fn satisfies never)}`);
  }
}

/** Whether the size is an integer for all values of its axes. */
export function isWhole(size: Size): boolean {
  if (typeof size === "number") return Number.isInteger(size);
  return size.terms.every((t) => q.isInteger(t.coefficient) && t.atoms.every(({ atom }) => wholeAtom(atom)));
}

function wholeAtom(atom: Atom): boolean {
  switch (atom.kind) {
    case "axis":
    case "rows":
    case "ceil":
    case "floor":
    case "round":
      return true;
    case "live":
    case "div":
      return false;
    default:
      return atom.args.every(isWhole);
  }
}

/** The axis, rows and live atoms of the size, at any depth. */
export function* atomsOf(size: Size): Generator<Extract<Atom, { kind: "axis" | "rows" | "live" }>> {
  if (typeof size === "number") return;
  for (const t of size.terms)
    for (const { atom } of t.atoms) {
      if (atom.kind === "axis" || atom.kind === "rows" || atom.kind === "live") yield atom;
      else for (const a of atom.args) yield* atomsOf(a);
    }
}

/**
 * Whether a size of the whole is the sum of its values for the parts, which have the counts that `counted` selects:
 * each term has exactly one factor with such a count.
 */
export const addsUp = (size: Size, counted: (atom: Extract<Atom, { kind: "axis" | "rows" }>) => boolean): boolean => {
  const within = (part: Size): number => [...atomsOf(part)].filter((a) => a.kind !== "live" && counted(a)).length;
  return (
    typeof size !== "number" &&
    size.terms.every(
      ({ atoms }) =>
        atoms.reduce((n, { atom }) => n + within(atomSize(atom)), 0) === 1 &&
        atoms.some(({ atom }) => (atom.kind === "axis" || atom.kind === "rows") && counted(atom)),
    )
  );
};

/** Substitutes each axis, rows or live atom for which `replace` returns a size. */
export function substitute(size: Size, replace: (atom: Atom) => Size | null): Size {
  if (typeof size === "number") return size;
  let sum: Size = 0;
  for (const t of size.terms) {
    let product: Size = normal(sizeOf(t.coefficient));
    for (const { atom } of t.atoms) {
      const known: Size =
        replace(atom) ??
        (atom.kind === "axis" || atom.kind === "rows" || atom.kind === "live"
          ? atomSize(atom)
          : applySize(
              atom.kind,
              atom.args.map((a) => substitute(a, replace)),
            ));
      product = multiplySizes(product, known);
    }
    sum = addSizes(sum, product);
  }
  return sum;
}

/** The exact value; `value` evaluates each axis, rows and live atom. */
export function evaluateSize(
  size: Size,
  value: (atom: Extract<Atom, { kind: "axis" | "rows" | "live" }>) => number | Rational,
): Rational {
  if (typeof size === "number") return q.rational(size);
  let sum = q.ZERO;
  for (const t of size.terms) {
    let product = t.coefficient;
    for (const { atom } of t.atoms) {
      let v: number | Rational;
      if (atom.kind === "axis" || atom.kind === "rows" || atom.kind === "live") v = value(atom);
      else {
        const args = atom.args.map((a) => evaluateSize(a, value));
        const zero = (atom.kind === "div" || atom.kind === "mod") && args[1]!.num === 0n;
        v = zero ? q.ZERO : foldSize(atom.kind, args);
      }
      product = q.multiply(product, typeof v === "number" ? q.rational(v) : v);
    }
    sum = q.add(sum, product);
  }
  return sum;
}

/** Prints a size: `3`, `T`, `ceil(1/8*T)`, `rows(T)*128`, `live(capacity)`. */
export const printSize = (size: Size): string => (typeof size === "number" ? `${size}` : size.key);

const atomKeys = (atom: Atom): string => {
  switch (atom.kind) {
    case "axis":
      return atom.axis;
    case "rows":
      return `rows(${atom.axis})`;
    case "live":
      return `live(${atom.name})`;
    default:
      return `${atom.kind}(${atom.args.map((a) => a.key).join(", ")})`;
  }
};

const atomSize = (atom: Atom): SizeExpr => make([{ coefficient: q.ONE, atoms: [{ atom, key: atomKeys(atom) }] }]);

function make(terms: readonly Term[]): SizeExpr {
  const merged = new Map<string, Term>();
  for (const t of terms) {
    const key = t.atoms.map((a) => a.key).join("*");
    const old = merged.get(key);
    merged.set(key, old ? { coefficient: q.add(old.coefficient, t.coefficient), atoms: t.atoms } : t);
  }
  const nonZero = [...merged]
    .filter(([, t]) => t.coefficient.num !== 0n)
    .sort(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0));
  const key = nonZero.map(([k, t]) => printTerm(k, t.coefficient)).join(" + ") || "0";
  return { terms: nonZero.map(([, t]) => t), key };
}

const printTerm = (atoms: string, c: Rational): string =>
  atoms === "" ? q.printRational(c) : q.equal(c, q.ONE) ? atoms : `${q.printRational(c)}*${atoms}`;
