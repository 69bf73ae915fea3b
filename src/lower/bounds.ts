// Which whole numbers an input may hold: rows of the tables it indexes, classes of the losses it labels.
import type { Value } from "../check/model.js";

/** For each input that is used, as it is or reshaped or cast, as indices or labels: the smallest number its values must stay below. */
export function inputBounds(values: readonly Value[]): ReadonlyMap<string, number> {
  const bounds = new Map<string, number>();
  const bound = (used: Value | undefined, below: unknown): void => {
    let source = used;
    while (source && (source.op === "reshape" || source.op === "cast" || source.op === "permute")) source = source.inputs[0];
    if (source?.op !== "input" || typeof below !== "number") return;
    const { name } = (source as Value<"input">).attrs; // the operator was just tested
    bounds.set(name, Math.min(below, bounds.get(name) ?? Infinity));
  };
  for (const { op, inputs } of values) {
    if (op === "gather") bound(inputs[1], inputs[0]?.type.shape[0]);
    if (op === "cross_entropy") bound(inputs[1], inputs[0]?.type.shape.at(-1));
  }
  return bounds;
}
