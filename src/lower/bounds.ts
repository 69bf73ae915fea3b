// Which whole numbers an input may hold: rows of the tables it indexes, classes of the losses it labels.
import { isOp } from "../check/types.js";
import type { Value } from "../check/model.js";

/** From `least` up to, not including, `below`. */
export interface Range {
  readonly least: number;
  readonly below: number;
}

/**
 * For each input that is used, as it is or reshaped or cast, as indices or labels: the numbers it may hold. Signed
 * indices count from the end where they are negative; a signed label of −1 means none.
 */
export function inputRanges(values: readonly Value[]): ReadonlyMap<string, Range> {
  const ranges = new Map<string, Range>();
  const bound = (used: Value | undefined, below: unknown, least: number): void => {
    const found = sourceOf(used);
    if (found === null || typeof below !== "number") return;
    const before = ranges.get(found.name) ?? { least: -Infinity, below: Infinity };
    ranges.set(found.name, {
      least: Math.max(before.least, found.signed ? least : 0),
      below: Math.min(before.below, below),
    });
  };
  for (const { op, inputs } of values) {
    const classes = inputs[0]?.type.shape.at(-1);
    const rows = inputs[0]?.type.shape[0];
    if (op === "gather" && typeof rows === "number") bound(inputs[1], rows, -rows);
    if (op === "cross_entropy") bound(inputs[1], classes, -1);
  }
  return ranges;
}

/** The input that a value repeats, and whether negative numbers reach it; a cast to bool or f16 may change numbers. */
function sourceOf(used: Value | undefined): { readonly name: string; readonly signed: boolean } | null {
  let signed = true;
  for (let v = used; v; v = v.inputs[0]) {
    const { dtype } = v.type;
    if (dtype === "u32") signed = false;
    if (isOp(v, "input")) return { name: v.attrs.name, signed };
    if (dtype === "bool" || dtype === "f16" || (v.op !== "reshape" && v.op !== "cast" && v.op !== "permute"))
      return null;
  }
  return null;
}
