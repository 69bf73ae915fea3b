// Finds expressions of a file by position.
import { isNode } from "../names/nodes.js";
import type { Expr, File } from "../syntax/ast.js";

interface Place {
  readonly start: number;
  readonly end: number;
}

/** The smallest expression that contains a place and satisfies a test. */
export function smallestAround<E extends Expr>(file: File, at: Place, accepts: (e: Expr) => e is E): E | null {
  let best: E | null = null;
  const todo: unknown[] = [file.declarations];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    const { span } = node;
    if (isPlace(span)) {
      if (span.start > at.start || span.end < at.end) continue;
      // Marked boundary: a node with a span and one of these kinds is an expression.
      const expr = node as unknown as Expr;
      if (EXPRESSIONS.has(expr.kind) && accepts(expr) && (best === null || span.end - span.start <= width(best)))
        best = expr;
    }
    for (const child of Object.values(node)) if (isNode(child)) todo.push(child);
  }
  return best;
}

const width = ({ span }: Expr): number => span.end - span.start;
const isPlace = (span: unknown): span is Place => isNode(span) && typeof span["start"] === "number";

const EXPRESSIONS: ReadonlySet<string> = new Set<Expr["kind"]>([
  "number",
  "string",
  "bool",
  "none",
  "name",
  "unary",
  "binary",
  "list",
  "comprehension",
  "range",
  "call",
  "member",
  "index",
]);
