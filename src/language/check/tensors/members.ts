// Members of tensors, routes and choices: their mask, index and count.
import type { Span } from "../../diagnostics/span.js";
import { ERROR, type ConstValue, type Emitter } from "../context.js";
import type { EntryChoice, Route, Value } from "../model.js";
import { countOf, maskOf } from "./entries.js";
import { nearest } from "../../../ground/numerics/nearest.js";
import { typeOf } from "../types.js";
import { describe } from "../values.js";

/** Evaluates `object.name` for a tensor, a route, a choice, a size or a number: routes and choices have members. */
export function applyMember(emitter: Emitter, object: ConstValue, name: string, span: Span): ConstValue {
  if (object.kind === "error") return ERROR;
  const member =
    object.kind === "route"
      ? routeMember(emitter, object.value, name, span)
      : object.kind === "choice"
        ? choiceMember(emitter, object.value, name, span)
        : null;
  if (member) return { kind: "tensor", value: member };
  emitter.report("unknown-member", { object: describe(object), name, suggestion: suggestionFor(object, name) }, span);
  return ERROR;
}

function routeMember(emitter: Emitter, route: Route, name: string, span: Span): Value | null {
  const score = route.inputs[0]?.type.shape ?? [];
  switch (name) {
    case "mask":
      return emitter.emit("mask", [route], {}, typeOf("bool", score), span);
    case "index":
      return emitter.emit("index", [route], {}, route.type, span);
    case "count":
      return emitter.emit("count", [route], {}, typeOf("u32", score.slice(0, 1)), span);
    default:
      return null;
  }
}

function choiceMember(emitter: Emitter, choice: EntryChoice, name: string, span: Span): Value | null {
  switch (name) {
    case "mask":
      return maskOf(emitter, choice, span);
    case "index":
      return emitter.emit("entry_index", [choice], {}, choice.type, span);
    case "count":
      return countOf(emitter, choice, span);
    default:
      return null;
  }
}

const MEANT: ReadonlyMap<string, string> = new Map([
  ["masks", "mask"],
  ["indices", "index"],
  ["indexes", "index"],
  ["idx", "index"],
  ["counts", "count"],
  ["length", "count"],
  ["size", "count"],
]);

function suggestionFor(object: ConstValue, name: string): string | null {
  if (object.kind === "route" || object.kind === "choice")
    return MEANT.get(name) ?? nearest(name, ["mask", "index", "count"]);
  return object.kind === "tensor" && (name === "T" || name === "mT") ? "transpose(x)" : null;
}
