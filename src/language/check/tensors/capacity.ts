// The number of tokens that `top` chooses: validity and bound of k.
import type { Span } from "../../diagnostics/span.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import {
  compare,
  multiply,
  negate,
  ONE,
  printRational,
  rational,
  toNumber,
  ZERO,
  type Rational,
} from "../../../ground/numerics/rational.js";
import { atomsOf, evaluateSize, type Atom, type Size, type SizeExpr, type Term } from "../../../ground/size/size.js";
import type { Expr } from "../../syntax/ast.js";
import type { Emitter, Argument } from "../model/context.js";
import { printNumber, showSize } from "../model/values.js";

/** Checks k for a score along `parent`; reports errors, and warns if k rounds to zero. */
export function checkCapacity(emitter: Emitter, k: Size, parent: SequenceAxis, argument: Argument): boolean {
  if (typeof k === "number") {
    if (k === 0 && isComputed(argument))
      emitter.report("capacity-rounds-to-zero", { k: "0", axis: parent.name, length: null }, argument.span);
    return true;
  }
  const names = [
    ...new Set(
      [...atomsOf(k)].flatMap((a) => (a.kind === "axis" && emitter.axis(a.axis).role === "sequence" ? [a.axis] : [])),
    ),
  ];
  if (names.length > 1) {
    emitter.report("k-mixes-axes", { k: showSize(k), axes: names }, argument.span);
    return false;
  }
  const wrong = outOfRange(emitter, k);
  if (wrong) {
    emitter.report(
      "capacity-out-of-range",
      wrong.live === null ? { found: percent(wrong.value) } : { found: percent(wrong.value), live: wrong.live },
      literalSpan(argument, wrong.value),
    );
    return false;
  }
  const length = firstZero(emitter, k, countedAxis(emitter, names, parent));
  if (length !== null)
    emitter.report("capacity-rounds-to-zero", { k: showSize(k), axis: names[0] ?? parent.name, length }, argument.span);
  return true;
}

/**
 * Whether a computation, such as `ceil(capacity * T)`, resulted in k = 0. A literal `0` or `ceil(0% * T)` is assumed to
 * be intended.
 */
const isComputed = (argument: Argument): boolean =>
  argument.expr?.kind !== "number" && argument.expr?.kind !== "name" && literalSpan(argument, ZERO) === argument.span;

/**
 * The bound of the chosen axis, for memory and messages: k at the parent's bound if k grows with it, else the parent's
 * bound.
 */
export function boundOfRoute(emitter: Emitter, k: Size, parent: SequenceAxis): number | null {
  if (typeof k === "number") return Math.max(1, parent.bound === null ? k : Math.min(k, parent.bound));
  const counted = countedAxis(
    emitter,
    [...atomsOf(k)].flatMap((a) => (a.kind === "axis" && emitter.axis(a.axis).role === "sequence" ? [a.axis] : [])),
    parent,
  );
  const plain = [...atomsOf(k)].every((a) => a.kind === "axis" && a.axis === counted.name);
  if (parent.bound === null || counted.bound === null || !plain || !isMonotonic(k)) return parent.bound;
  return Math.max(1, Math.min(parent.bound, toNumber(valueAt(emitter, k, counted.name, counted.bound))));
}

function countedAxis(emitter: Emitter, names: readonly string[], parent: SequenceAxis): SequenceAxis {
  const axis = names[0] === undefined ? parent : emitter.axis(names[0]);
  return axis.role === "sequence" ? axis : parent;
}

interface Share {
  readonly value: Rational;
  readonly live: string | null;
}

/**
 * Finds a ratio outside [0, 1] that multiplies an axis, at any depth. A negative term next to others only reduces the
 * total.
 */
function outOfRange(emitter: Emitter, size: SizeExpr): Share | null {
  for (const term of size.terms) {
    const share = shareOf(emitter, term);
    if (share && (compare(share.value, ONE) > 0 || (compare(share.value, ZERO) < 0 && size.terms.length === 1)))
      return share;
    for (const { atom } of term.atoms) {
      if (atom.kind === "axis" || atom.kind === "rows" || atom.kind === "live") continue;
      for (const argument of atom.args) {
        const inner = outOfRange(emitter, argument);
        if (inner) return inner;
      }
    }
  }
  return null;
}

/** The factor of an axis in this term; live parameters count with their defaults. */
function shareOf(emitter: Emitter, term: Term): Share | null {
  if (!term.atoms.some(({ atom }) => atom.kind === "axis" && emitter.axis(atom.axis).role === "sequence")) return null;
  const live = term.atoms.flatMap(({ atom }) => (atom.kind === "live" ? [atom.name] : []));
  const value = live.reduce((product, name) => multiply(product, emitter.live(name).default), term.coefficient);
  return { value, live: live[0] ?? null };
}

/** Formats a ratio as a percentage, also beyond 100%. */
export function percent(value: Rational): string {
  const hundred = multiply(value, rational(100));
  const text = printNumber({ kind: "number", value: hundred, form: "float" });
  return text.includes("/") ? printRational(value) : `${text}%`;
}

/** The span of the ratio's literal, else of the whole argument. */
function literalSpan(argument: Argument, value: Rational): Span {
  const pending: Expr[] = argument.expr ? [argument.expr] : [];
  for (let e = pending.pop(); e; e = pending.pop()) {
    if (e.kind === "number" && compare(e.value, value) === 0) return e.span;
    if (e.kind === "unary" && e.operand.kind === "number" && compare(negate(e.operand.value), value) === 0)
      return e.span;
    if (e.kind === "binary") pending.push(e.right, e.left);
    else if (e.kind === "unary") pending.push(e.operand);
    else if (e.kind === "call") for (const a of e.args.toReversed()) pending.push(a.value);
  }
  return argument.span;
}

/** The limit on tried lengths: a k that decreases with the length is rare. */
const LENGTHS = 1024;

/** The smallest length from 1 to the bound for which k is below 1; null if there is none. */
function firstZero(emitter: Emitter, k: SizeExpr, axis: SequenceAxis): number | null {
  const last = isMonotonic(k) ? 1 : Math.min(axis.bound ?? LENGTHS, LENGTHS);
  for (let n = 1; n <= last; n++) if (compare(valueAt(emitter, k, axis.name, n), ONE) < 0) return n;
  return null;
}

/** k for a sequence of n tokens, with live parameters at their defaults and other axes at their minimum, 1. */
const valueAt = (emitter: Emitter, k: Size, axis: string, n: number): Rational =>
  evaluateSize(k, (atom) =>
    atom.kind === "live" ? emitter.live(atom.name).default : atom.kind === "axis" && atom.axis === axis ? n : 1,
  );

/** Whether the size is monotonically increasing in its axes: sums and roundings of positive terms. */
function isMonotonic(size: Size): boolean {
  if (typeof size === "number") return true;
  return (
    size.terms.every((t) => t.coefficient.num > 0n || t.atoms.length === 0) &&
    size.terms.every((t) => t.atoms.every(({ atom }) => isMonotonicAtom(atom)))
  );
}

function isMonotonicAtom(atom: Atom): boolean {
  switch (atom.kind) {
    case "axis":
    case "rows":
      return true;
    case "live":
      return true;
    case "mod":
    case "div":
      return false;
    default:
      return atom.args.every(isMonotonic);
  }
}

/** The value of a size over live parameters alone, at their defaults; null if it mentions an axis. */
export function atDefaults(emitter: Emitter, size: Size): Rational | null {
  const axes = [...atomsOf(size)].some((a) => a.kind !== "live");
  return axes ? null : evaluateSize(size, (a) => (a.kind === "live" ? emitter.live(a.name).default : rational(0)));
}
