// `tensor`: a list of compile-time numbers as a tensor.
import type { Span } from "../../diagnostics/span.js";
import { toNumber, type Rational } from "../../../ground/numerics/rational.js";
import { ERROR, type Builtin, type ConstValue, type Emitter } from "../model/context.js";
import { fitsDtype } from "../tensors/convert.js";
import { typeOf } from "../model/types.js";
import { describe } from "../model/values.js";
import { requiredArg, wrong } from "./arguments.js";

/** The most numbers of one tensor: they are part of the compiled program. */
const MOST_NUMBERS = 65536;

export const tensor: Builtin = {
  params: [{ name: "list" }],
  doc:
    "tensor(list: [float]) -> f32[n]\nA list of numbers as a tensor: slopes, frequencies, factors of classes. A list " +
    "of lists of one length is f32[n, m]. The numbers are known when compiling; no gradient flows to them.",
  apply(emitter, args, span) {
    const { value, span: at } = requiredArg(args, "list");
    const shape = shapeOf(value);
    const numbers = shape && numbersOf(emitter, value, shape, at);
    if (!shape) wrong(emitter, "tensor", "list", "a list of numbers, or of lists of one length", value, at);
    if (!numbers) return ERROR;
    const values = numbers.map(toNumber);
    return { kind: "tensor", value: emitter.emit("literal", [], { values }, typeOf("f32", shape), span) };
  },
};

/** The lengths of the lists by the first item of each; null for a value that is no list, and for an empty list. */
function shapeOf(list: ConstValue): readonly number[] | null {
  if (list.kind !== "list") return null;
  const [first] = list.items;
  if (!first) return null;
  const inner = first.kind === "list" ? shapeOf(first) : [];
  return inner && [list.items.length, ...inner];
}

/** The numbers, row by row; null after a report. */
function numbersOf(
  emitter: Emitter,
  list: ConstValue,
  [length, ...inner]: readonly number[],
  at: Span,
): readonly Rational[] | null {
  if (list.kind !== "list" || list.items.length !== length) {
    const needs = `${length} items, as the lists before it`;
    const found = list.kind === "list" ? String(list.items.length) : describe(list);
    emitter.report("argument-out-of-range", { what: "a list in `list` of `tensor`", needs, found }, at);
    return null;
  }
  const numbers: Rational[] = [];
  for (const item of list.items) {
    const row = inner.length > 0 ? numbersOf(emitter, item, inner, at) : numberOf(emitter, item, at);
    if (!row) return null;
    for (const number of row) numbers.push(number);
    if (numbers.length <= MOST_NUMBERS) continue;
    const needs = `at most ${MOST_NUMBERS} numbers`;
    emitter.report("argument-out-of-range", { what: "`list` of `tensor`", needs, found: "more" }, at);
    return null;
  }
  return numbers;
}

function numberOf(emitter: Emitter, item: ConstValue, at: Span): readonly Rational[] | null {
  if (item.kind === "number") return fitsDtype(emitter, item.value, "f32", at) ? [item.value] : null;
  if (item.kind === "tensor" || item.kind === "size")
    emitter.report("not-compile-time", { what: "a number in `list` of `tensor`", value: describe(item) }, at);
  else wrong(emitter, "tensor", "list", "a list of numbers, or of lists of one length", item, at);
  return null;
}
