// Values, types and axes in words, for hovers and hints.
import type { LogicalAxis, LogicalType } from "../check/model/model.js";
import { describe, printNumber, printValue, showSize } from "../check/model/values.js";
import { axesIn } from "../../ground/size/count-rules.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { Size } from "../../ground/size/size.js";
import type { Seen } from "./facts.js";

/** The greatest number of different extents listed for one dimension. */
const MOST_EXTENTS = 3;

/** Merges all types of a name into one: `f32[B, T, 64|128]`; null if they differ in more than extents. */
export function typeOf(seen: readonly Seen[]): string | null {
  const types = seen.flatMap(({ value }) => (value.kind === "tensor" ? [value.type] : []));
  const [first] = types;
  if (!first || types.length !== seen.length) return null;
  if (types.some((t) => t.dtype !== first.dtype || t.shape.length !== first.shape.length)) return null;
  return `${first.dtype}[${first.shape.map((_, dim) => extents(types.map((t) => t.shape[dim]!))).join(", ")}]`;
}

function extents(sizes: readonly Size[]): string {
  const all = [...new Set(sizes.map(showSize))];
  return all.length <= MOST_EXTENTS ? all.join("|") : `${all.slice(0, MOST_EXTENTS - 1).join("|")}|…`;
}

/** A name's type, value or route as text; null if nothing is known. */
export function shownValues(seen: readonly Seen[]): string | null {
  const known = seen.filter(({ value }) => value.kind !== "error");
  const type = typeOf(known);
  if (type !== null) return type;
  const texts = [...new Set(known.map(shownValue))];
  if (texts.length === 0) return null;
  return texts.length <= MOST_EXTENTS ? texts.join(" | ") : `${texts.slice(0, MOST_EXTENTS - 1).join(" | ")} | …`;
}

function shownValue({ value, axis }: Seen): string {
  switch (value.kind) {
    case "tensor":
      return typeText(value.type);
    case "route": {
      const { axis: name } = value;
      const route = axis(name);
      return `route ${name}${route.role === "sequence" && "parent" in route.count ? ` of ${route.count.parent}` : ""}`;
    }
    case "choice":
      return "choice of entries";
    case "experts":
      return `a list of ${value.length} indexed by a choice`;
    case "instance":
      return value.block;
    case "list": {
      const of = value.blocks.length > 0 ? value.blocks.join(" | ") : value.type && typeText(value.type);
      if (of === null && value.text !== null) return value.text;
      return `list of ${value.length}${of === null ? "" : ` ${of}`}`;
    }
    case "tuple":
      return value.items.length === 0
        ? "nothing"
        : `(${value.items.map(({ name, known }) => `${name}: ${shownValue({ value: known, axis })}`).join(", ")})`;
    case "number":
      return printNumber(value);
    case "string":
    case "bool":
      return printValue(value, () => undefined);
    case "size":
      return showSize(value.size);
    default:
      return describe(value);
  }
}

const typeText = ({ dtype, shape }: LogicalType): string => `${dtype}[${shape.map(showSize).join(", ")}]`;

/** One line for each axis in the types of a name, in order of appearance. */
export function axisLines(seen: readonly Seen[]): readonly string[] {
  const lines = new Map<string, string>();
  const add = (name: string, axis: Seen["axis"], depth = 0): void => {
    if (lines.has(name) || depth > 4) return;
    const definition = axis(name);
    lines.set(name, axisLine(definition));
    if (definition.role === "sequence" && "parent" in definition.count) add(definition.count.parent, axis, depth + 1);
  };
  for (const { value, axis } of seen) {
    const sizes: readonly Size[] =
      value.kind === "tensor" ? value.type.shape : value.kind === "size" ? [value.size] : [];
    for (const size of sizes) for (const name of axesIn(size)) add(name, axis);
    if (value.kind === "route") add(value.axis, axis);
  }
  return [...lines.values()];
}

/** Describes an axis by role, bound and row count. */
export function axisLine(axis: LogicalAxis): string {
  const { name, bound } = axis;
  const most = bound === null ? "" : `, at most ${bound}`;
  switch (axis.role) {
    case "batch":
      return `${name}: the batch${most}`;
    case "free":
      return `${name}: an axis of the inputs${most}`;
    case "entries":
      return `${name}: entries of a choice${axis.ragged ? ", the number differs between tokens" : ""}${most}`;
    case "sequence":
      return `${name}: ${rowsOf(axis)}${most}`;
    default:
      return axis satisfies never;
  }
}

const share = (value: Rational): string => printNumber({ kind: "number", value, form: "ratio" });

function rowsOf({ count }: Extract<LogicalAxis, { role: "sequence" }>): string {
  switch (count.kind) {
    case "input":
      return "tokens of each sequence";
    case "top":
      return `the best ${showSize(count.k)} tokens of ${count.parent}`;
    case "above":
    case "those":
      return `tokens of ${count.parent} that are chosen, ${share(count.expected)} expected`;
    case "entry":
      return `tokens of ${count.parent} that chose an entry, ${share(count.expected)} expected`;
    case "rest":
      return `tokens of ${count.parent} that ${count.taken} left`;
    case "span": {
      const stop = count.stop === null ? "the last" : showSize(count.stop);
      return `tokens ${showSize(count.start)} to ${stop} of ${count.parent}`;
    }
    case "stride":
      return `every token of ${count.parent} in ${showSize(count.step)}`;
    case "fixed":
      return `${showSize(count.tokens)} tokens of each sequence`;
    case "join":
      return `tokens of ${count.parts.join(" and ")}`;
    default:
      return count satisfies never;
  }
}
