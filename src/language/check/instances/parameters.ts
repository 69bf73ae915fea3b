// Parameters of blocks: checks that a value has the declared kind, and converts it.
import type { Span } from "../../diagnostics/span.js";
import { isInteger } from "../../../ground/numerics/rational.js";
import { atomsOf } from "../../../ground/size/size.js";
import type { ParamKind } from "../../syntax/ast.js";
import { ERROR, type ConstValue, type ListValue } from "../model/context.js";
import type { Checker } from "../model/checker.js";
import { describe, listOf, numberOf, printNumber } from "../model/values.js";

/**
 * Converts a value to the declared kind. `what` names the parameter in messages: "`dim` of `Linear`"; `hint` is the
 * remedy for a number that is not whole.
 */
export function convert(
  checker: Checker,
  value: ConstValue,
  kind: ParamKind,
  what: string,
  span: Span,
  hint?: string,
): ConstValue {
  if (value.kind === "error") return ERROR;
  if (kind.kind === "list" && value.kind === "list") return convertList(checker, value, kind, what, span, new Map());
  switch (kind.kind) {
    case "int":
      if (value.kind === "number") {
        if (isInteger(value.value)) return numberOf(value.value, "int");
        checker.report(
          "not-an-integer",
          { what, value: printNumber(value), ...(hint !== undefined && { hint }) },
          span,
        );
        return ERROR;
      }
      if (value.kind === "size") {
        checker.report("not-compile-time", { what, value: describe(value) }, span);
        return ERROR;
      }
      break;
    case "float":
    case "ratio":
      if (value.kind === "number") return numberOf(value.value, kind.kind);
      // A live parameter, or a size computed from live parameters.
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
      break;
    default:
      return kind satisfies never;
  }
  checker.report("wrong-kind", { what, expected: nameOfKind(kind), found: describe(value) }, span);
  return ERROR;
}

type ListKind = Extract<ParamKind, { kind: "list" }>;

/** Converts a list item by item; a shared list is converted once per kind. */
function convertList(
  checker: Checker,
  list: ListValue,
  kind: ListKind,
  what: string,
  span: Span,
  done: Map<ParamKind, Map<ListValue, ConstValue>>,
): ConstValue {
  let known = done.get(kind);
  if (known === undefined) done.set(kind, (known = new Map<ListValue, ConstValue>()));
  const before = known.get(list);
  if (before !== undefined) return before;
  checker.spend(list.items.length, span);
  const { of } = kind;
  const each = `each item of ${what}`;
  const items = list.items.map((item) =>
    item.kind === "list" && of.kind === "list"
      ? convertList(checker, item, of, each, span, done)
      : convert(checker, item, of, each, span),
  );
  const converted = listOf(items);
  known.set(list, converted);
  return converted;
}

/** The name of a kind with an article, for messages: `an int`, `a list of blocks`. */
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

/** The kind in the syntax of the language: `int`, `[[int]]`. */
export const printKind = (kind: ParamKind): string => (kind.kind === "list" ? `[${printKind(kind.of)}]` : kind.kind);
