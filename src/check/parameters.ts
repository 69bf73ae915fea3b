// Parameters of blocks: whether a value has the declared kind, and as what it is kept.
import type { Span } from "../diagnostics/span.js";
import { isInteger } from "../size/rational.js";
import { atomsOf } from "../size/size.js";
import type { ParamKind } from "../syntax/ast.js";
import { ERROR, type Any } from "./context.js";
import type { Session } from "./session.js";
import { describe, numberOf, printNumber } from "./values.js";

/** A value as one of the given kind. `what` names its place in messages: "`dim` of `Linear`". */
export function convert(session: Session, value: Any, kind: ParamKind, what: string, span: Span): Any {
  if (value.kind === "error") return ERROR;
  switch (kind.kind) {
    case "int":
      if (value.kind === "number") {
        if (isInteger(value.value)) return numberOf(value.value, "int");
        session.report("not-an-integer", { what, value: printNumber(value) }, span);
        return ERROR;
      }
      if (value.kind === "size") {
        session.report("not-compile-time", { what, value: describe(value) }, span);
        return ERROR;
      }
      break;
    case "float":
    case "ratio":
      if (value.kind === "number") return numberOf(value.value, kind.kind);
      // A live parameter passed on, or computed from.
      if (value.kind === "size" && [...atomsOf(value.size)].every((a) => a.kind === "live")) return value;
      break;
    case "bool":
    case "string":
      if (value.kind === kind.kind) return value;
      break;
    case "block":
      if (value.kind === "instance") return value;
      break;
    case "list":
      if (value.kind === "list") return { kind: "list", items: value.items.map((item) => convert(session, item, kind.of, `each item of ${what}`, span)) };
      break;
    default:
      return kind satisfies never;
  }
  session.report("wrong-kind", { what, expected: nameOfKind(kind), found: describe(value) }, span);
  return ERROR;
}

/** With an article, for messages: `an int`, `a list of blocks`. */
export function nameOfKind(kind: ParamKind): string {
  switch (kind.kind) {
    case "int":
      return "an int";
    case "list":
      return `a list, ${printKind(kind)}`;
    default:
      return `a ${kind.kind}`;
  }
}

/** As the language writes it: `int`, `[[int]]`. */
export const printKind = (kind: ParamKind): string => (kind.kind === "list" ? `[${printKind(kind.of)}]` : kind.kind);
