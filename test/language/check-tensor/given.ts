// Inputs and weights to run a small model with.
import type { Model, Value } from "../../../src/language/check/model/model.js";

/** Extents of the axes in one run. */
export const EXTENTS: ReadonlyMap<string, number> = new Map([
  ["B", 3],
  ["T", 5],
  ["S", 4],
  ["F", 2],
]);
/** Of the sequences on T. */
export const LENGTHS: readonly number[] = [5, 2, 3];

/** A generator with a seed (mulberry32), so that every run sees the same values. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Given {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Inputs and weights for a model, always the same. */
export function given(model: Model): { inputs: Map<string, Given>; weights: Map<string, Given> } {
  const random = randomNumbers(7);
  const fill = (dtype: string, shape: readonly number[]): Given => ({
    shape,
    data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
      dtype === "u32" || dtype === "i32" ? Math.floor(random() * 8) : random() * 2 - 0.7,
    ),
  });
  const extent = (size: Value["type"]["shape"][number]): number =>
    typeof size === "number" ? size : (EXTENTS.get(size.key) ?? 0);
  return {
    inputs: new Map(model.inputs.map((i) => [i.name, fill(i.type.dtype, i.type.shape.map(extent))])),
    weights: new Map(model.weights.map((w) => [w.path, fill(w.dtype, w.shape)])),
  };
}
