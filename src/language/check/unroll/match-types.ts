// Matches the declared types of a function's inputs and results with the actual tensors.
import type { Note } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import { equalSizes, printSize, type Atom, type Size } from "../../../ground/size/size.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import { compare, toNumber, ZERO } from "../../../ground/numerics/rational.js";
import type { DimExpr, Expr, TypeExpr } from "../../syntax/ast.js";
import { sizeFrom } from "../eval/arithmetic.js";
import { axisNameOf, type Scope } from "../../names/scope.js";
import type { Binding, Instance } from "../names/bindings.js";
import { sameExtent, sequenceOf, type AxisLookup } from "../model/types.js";
import type { Env } from "../names/environment.js";
import { environment, evaluate, integerOf } from "../eval/evaluate.js";
import { extentOf } from "../instances/instantiate.js";
import type { Checker } from "../model/checker.js";
import type { LogicalType } from "../model/model.js";
import { describe, printType, sizeValue } from "../model/values.js";

export interface Typed {
  readonly name: string;
  readonly role: "input" | "result";
  readonly declared: TypeExpr;
  readonly found: LogicalType;
  /** Span of the argument, or of the result expression. */
  readonly span: Span;
}

/** The environment of the types in an instance's functions. */
export const typeEnv = (checker: Checker, instance: Instance): Env =>
  environment(checker, instance.memberScope, "a dimension");

type Dim = Extract<DimExpr, { kind: "dim" }>;

/**
 * Whether `fits` is true for each declared dimension and its actual size. `...` matches `rest` sizes; if `rest` is
 * null, nothing is compared.
 */
function eachPair(
  { declared: { dims }, found: { shape } }: Typed,
  rest: number | null,
  fits: (dim: Dim, size: Size) => boolean,
): boolean {
  if (rest === null) return true;
  let ok = true;
  let at = 0;
  let open = rest;
  for (const dim of dims) {
    if (dim.kind === "dim") ok = fits(dim, shape[at++] ?? 1) && ok;
    else {
      at += open;
      open = 0;
    }
  }
  return ok;
}

/** Matches types in one call of a function, and holds the axes named by its input types. */
export class TypeMatcher {
  readonly axes = new Map<string, Binding>();
  /** The dimensions matched by `...` in each input. */
  readonly #ellipses: (readonly Size[])[] = [];
  readonly #env: Env;

  constructor(
    /** The environment of types: parameters, members, the file. */
    env: Env,
    readonly instance: Instance,
    readonly callee: string,
    readonly lookup: AxisLookup,
  ) {
    this.#env = { ...env, scope: env.scope.inner(this.axes), place: "a dimension", body: null, make: null };
  }

  /** Binds the axes that the types introduce, then compares; false after a report. */
  match(all: readonly Typed[]): boolean {
    const rests = all.map((t) => this.#align(t));
    let ok = !rests.includes(null);
    for (const [i, t] of all.entries()) ok = eachPair(t, rests[i]!, (dim, size) => this.#bind(t, dim, size)) && ok;
    for (const [i, t] of all.entries()) ok = eachPair(t, rests[i]!, (dim, size) => this.#compare(t, dim, size)) && ok;
    return ok;
  }

  /** The number of dimensions that `...` matches, 0 without `...`; null if dtypes or ranks differ. */
  #align(t: Typed): number | null {
    const { dims, dtype } = t.declared;
    const { shape } = t.found;
    const rest = dims.findIndex((d) => d.kind === "rest");
    const fixed = rest === -1 ? dims.length : dims.filter((d) => d.kind === "dim").length;
    const open = shape.length - fixed;
    if (t.found.dtype !== dtype) return this.#mismatch(t, null);
    if (rest === -1 ? open !== 0 : open < 0) {
      const needs = `${rest === -1 ? "" : "at least "}${fixed} ${fixed === 1 ? "is" : "are"} declared`;
      return this.#mismatch(t, `${shape.length} dimension${shape.length === 1 ? "" : "s"} where ${needs}`);
    }
    if (rest !== -1) {
      const covered = shape.slice(rest, rest + open);
      if (t.role === "input") this.#ellipses.push(covered);
      else if (!this.#ellipsisFits(covered))
        return this.#mismatch(t, "`...` stands for the same axes as in the inputs");
    }
    return open;
  }

  /** Checks that `...` in a result matches the same dimensions as `...` in the inputs, if the inputs agree. */
  #ellipsisFits(covered: readonly Size[]): boolean {
    const [first, ...others] = this.#ellipses;
    const same = (a: readonly Size[], b: readonly Size[]): boolean =>
      a.length === b.length && a.every((s, i) => sameExtent(this.lookup, s, b[i] ?? -1));
    return first === undefined || others.some((o) => !same(o, first)) || same(covered, first);
  }

  #bind(t: Typed, dim: Dim, size: Size): boolean {
    const name = axisNameIn(dim.value, this.#env.scope);
    if (name === null) return true;
    const known = this.axes.get(name);
    if (known === undefined) {
      if (t.role === "result" && !this.#isFresh(size)) {
        this.#mismatch(t, `\`${name}\` is not an axis of the inputs`);
        return false;
      }
      this.axes.set(name, { kind: "value", value: sizeValue(size) });
      return true;
    }
    const before = sizeOfBinding(known);
    if (before === null || sameExtent(this.lookup, before, size)) return true;
    this.#mismatch(t, `\`${name}\` already stands for ${printSize(before)}, but here for ${printSize(size)}`);
    return false;
  }

  /**
   * Whether a result may bind a new name to the size: only to an axis that the function created (a slice, a route), not
   * to an axis of the inputs or a number.
   */
  #isFresh(size: Size): boolean {
    return typeof size !== "number" && [...this.axes.values()].every((b) => !equalSizes(sizeOfBinding(b) ?? -1, size));
  }

  #compare(t: Typed, dim: Dim, size: Size): boolean {
    if (axisNameIn(dim.value, this.#env.scope) === null) {
      const declared = this.#size(dim.value);
      if (declared === null) return false;
      if (!sameExtent(this.lookup, declared, size)) {
        this.#mismatch(t, `${printSize(size)} instead of the declared ${printSize(declared)}`);
        return false;
      }
    }
    if (dim.bound === null) return true;
    const bound = extentOf(dim.bound, "a bound", this.#env);
    if (bound === null) return false;
    const most = maximumOf(size, this.lookup);
    if (most !== null && most <= bound) return true;
    const described =
      typeof size === "number"
        ? `size is ${size}`
        : `axis ${printSize(size)} ${most === null ? "has no bound" : `may be ${most}`}`;
    const axis = dim.value.kind === "name" ? dim.value.name : "dimension";
    this.#env.checker.report("bound-exceeded", { callee: this.callee, axis, bound, found: described }, t.span, [
      { text: "declared here", span: dim.span },
    ]);
    return false;
  }

  #size(expr: Expr): Size | null {
    const value = evaluate(expr, this.#env);
    if (value.kind === "size") return value.size;
    if (value.kind === "number") return integerOf(value, "a dimension", expr.span, this.#env);
    if (value.kind === "error") return null;
    this.#env.checker.report(
      "wrong-kind",
      { what: "a dimension", expected: "a whole number or an axis", found: describe(value) },
      expr.span,
    );
    return null;
  }

  #mismatch(t: Typed, reason: string | null): null {
    const { checker } = this.#env;
    const notes = [{ text: "declared here", span: t.declared.span }, ...this.#whichOfList()];
    const [expected, found] = [this.#print(t.declared), printType(t.found)];
    const { callee } = this;
    const result = t.name === "output" ? "its result" : `\`${t.name}\``;
    if (t.role === "input")
      checker.report("wrong-input", { callee, input: t.name, expected, found, reason }, t.span, notes);
    else
      checker.report(
        "wrong-result",
        { callee, result, expected, found, reason, ...this.#hint(t.found) },
        t.span,
        notes,
      );
    return null;
  }

  /** For a list item, such as an expert: a note with the item's path and the place of its creation. */
  #whichOfList(): readonly Note[] {
    const { path, trace } = this.instance;
    const span = this.#env.checker.userSpan(trace);
    return span !== null && /\.\d+$/.test(path) ? [{ text: `made here, as \`${path}\``, span }] : [];
  }

  /** Hint for a result on fewer tokens than declared, or on different tokens. */
  #hint({ shape }: LogicalType): { readonly hint?: string } {
    for (const size of shape) {
      const axis = sequenceOf(this.lookup, size);
      if (axis === null || !this.#isFresh(size)) continue;
      const { kind } = axis.count;
      const { name } = axis;
      const from = chosenFrom(axis.count);
      if (from !== null)
        return {
          hint:
            `${name} are the tokens that a route chose from ${from}: \`put(x, route, …)\` brings them ` +
            "back to all tokens",
        };
      if (kind !== "input")
        return { hint: `${name} was made by \`concat\` or a slice; declare a new name for the axis in the result` };
    }
    return {};
  }

  /** The declared type, with the known values of its dimensions. */
  #print(type: TypeExpr): string {
    const dims = type.dims.map((d) => {
      if (d.kind === "rest") return "...";
      const name = axisNameIn(d.value, this.#env.scope);
      if (name !== null) return name;
      const size = this.#size(d.value);
      return size === null ? "?" : printSize(size);
    });
    return `${type.dtype}[${dims.join(", ")}]`;
  }
}

/** The axis name of a dimension; null for any other expression. `scope` is the function's own scope of axes. */
export const axisNameIn = (expr: Expr, scope: Scope<Binding>): string | null => axisNameOf(expr, scope, mayBeNumber);

/** Whether a name may be a compile-time number, and therefore not an axis. */
const mayBeNumber = (b: Binding): boolean =>
  b.kind === "const" ||
  (b.kind === "value" && b.value.kind !== "instance" && b.value.kind !== "list" && b.value.kind !== "string");

const sizeOfBinding = (b: Binding): Size | null =>
  b.kind === "value" && (b.value.kind === "number" || b.value.kind === "size") ? sizeFrom(b.value) : null;

/** The maximum of a size under the bounds of its axes; null if unbounded. */
export function maximumOf(size: Size, lookup: AxisLookup): number | null {
  if (typeof size === "number") return size;
  let sum = 0;
  for (const term of size.terms) {
    // A negative term is at most 0, because sizes are not negative.
    if (compare(term.coefficient, ZERO) < 0) continue;
    let product = toNumber(term.coefficient);
    for (const { atom } of term.atoms) {
      const most = greatestAtom(atom, lookup);
      if (most === null) return null;
      product *= most;
    }
    sum += product;
  }
  return sum;
}

function greatestAtom(atom: Atom, lookup: AxisLookup): number | null {
  switch (atom.kind) {
    case "axis":
      return lookup.axis(atom.axis).bound;
    case "rows":
    case "live":
      return null;
    case "ceil":
    case "floor":
    case "round": {
      const [arg] = atom.args;
      const most = arg === undefined ? null : maximumOf(arg, lookup);
      return most === null ? null : Math.ceil(most);
    }
    case "min": {
      const known = atom.args.map((a) => maximumOf(a, lookup)).filter((m) => m !== null);
      return known.length === 0 ? null : Math.min(...known);
    }
    case "max": {
      const all = atom.args.map((a) => maximumOf(a, lookup));
      return all.reduce((a, b) => (a === null || b === null ? null : Math.max(a, b)), 0);
    }
    case "mod": {
      const [, divisor] = atom.args;
      return divisor === undefined ? null : maximumOf(divisor, lookup);
    }
    case "div":
      return null;
    default:
      return atom satisfies never;
  }
}
