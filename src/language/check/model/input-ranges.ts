// Value ranges of integer inputs, from the tables they index and the losses they label.
import { isOp } from "./types.js";
import type { Value } from "./model.js";

/** The integers from `least` (inclusive) to `below` (exclusive). */
export interface Range {
  readonly least: number;
  readonly below: number;
}

/**
 * The range of each input that is used as indices or labels, directly or after a reshape or cast. Negative signed
 * indices count from the end; the signed label −1 means that there is no label.
 */
export function inputRanges(values: readonly Value[]): ReadonlyMap<string, Range> {
  const ranges = new Map<string, Range>();
  const bound = (used: Value | undefined, below: unknown, least: number): void => {
    const source = sourceOf(used);
    if (source === null || typeof below !== "number") return;
    const before = ranges.get(source.name) ?? { least: -Infinity, below: Infinity };
    ranges.set(source.name, {
      least: Math.max(before.least, source.signed ? least : 0),
      below: Math.min(before.below, below),
    });
  };
  for (const { op, inputs } of values) {
    const classes = inputs[0]?.type.shape.at(-1);
    const rows = inputs[0]?.type.shape[0];
    if (op === "gather" && typeof rows === "number") bound(inputs[1], rows, -rows);
    if (op === "cross_entropy" || op === "log_probability") bound(inputs[1], classes, -1);
  }
  return ranges;
}

/**
 * The input whose elements make up a value, and whether it is signed. Null if a cast to bool or f16 is in between,
 * because such a cast may change numbers.
 */
export function sourceOf(used: Value | undefined): { readonly name: string; readonly signed: boolean } | null {
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
