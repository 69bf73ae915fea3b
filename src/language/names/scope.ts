// Scopes: chains of name tables, shared by the checker and editors.
import type { Expr } from "../syntax/ast.js";

/** Inner names hide outer ones. Chains may share a table, and a table may grow. */
export class Scope<Meaning> {
  constructor(
    readonly table: Map<string, Meaning>,
    readonly outer: Scope<Meaning> | null,
  ) {}

  find(name: string): Meaning | null {
    return this.table.get(name) ?? this.outer?.find(name) ?? null;
  }

  inner(table: Map<string, Meaning> = new Map()): Scope<Meaning> {
    return new Scope(table, this);
  }

  /** Every visible name, innermost first. */
  *names(): Generator<string> {
    yield* this.table.keys();
    if (this.outer !== null) yield* this.outer.names();
  }
}

/**
 * The axis name of a dimension: a capitalized name that cannot be a compile-time number. Null for any other expression.
 * `scope` is the function's own scope of axes.
 */
export function axisNameOf<Meaning>(
  expr: Expr,
  scope: Scope<Meaning>,
  mayBeNumber: (meaning: Meaning) => boolean,
): string | null {
  if (expr.kind !== "name" || !/^[A-Z]/.test(expr.name)) return null;
  // An axis of this function shadows outer names.
  if (scope.table.has(expr.name)) return expr.name;
  const outer = scope.find(expr.name);
  return outer === null || !mayBeNumber(outer) ? expr.name : null;
}
