// Compares a device's run with the reference, choices included.
//
// One near-tie flips a route and everything behind it, so a choice must be identical only where its margin exceeds the
// error bound of the scores; elsewhere the reference is run again with the device's choices, and the case is counted.
import { expect } from "vitest";
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../src/compiler/reference/evaluate.js";
import type { Results } from "../../src/runtime/index.js";
import { choicesOf, entriesOf, furthest, reference, type Case, type Weights } from "./model.js";

export interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
}

/** How many choices were compared, and how many were too close to call. */
export interface Tally {
  choices: number;
  forced: number;
}

/** Error bound of a score, relative to scores of order 1: what f32 products through a few layers leave. */
export const SCORE_ERROR = 1e-4;

export function expectAgreement(
  graph: Graph,
  weights: Weights,
  given: Case,
  results: Results,
  tolerance: Tolerance,
  tally: Tally,
  own = reference(graph, weights, given),
): void {
  let wanted = own;
  if (wanted.routes.size + wanted.entries.size > 0) wanted = settled(graph, weights, given, results, wanted, tally);
  for (const out of graph.outputs) {
    const got = results[out.name]!;
    const want = wanted.outputs.get(out.name)!;
    expect(got.shape, out.name).toEqual(want.shape);
    const exact = got.dtype === "u32" || got.dtype === "i32" || got.dtype === "bool";
    const { ratio, text } = furthest(got.data, want.data, exact ? 0.25 : tolerance.atol, exact ? 0 : tolerance.rtol);
    expect(ratio, `${out.name} ${text}`).toBeLessThan(1);
  }
}

function settled(
  graph: Graph,
  weights: Weights,
  given: Case,
  results: Results,
  own: Evaluation,
  tally: Tally,
): Evaluation {
  const device = choicesOf(graph, own, results, given);
  const same = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
    a.length === b.length && Array.prototype.every.call(a, (v: number, i: number) => v === b[i]);
  const entries = entriesOf(graph, own, results, given, device);
  const differs =
    [...device].some(([axis, c]) => !same(c.index.data, own.routes.get(axis)!.chosen.index.data)) ||
    [...entries].some(([path, index]) => !same(index.data, own.entries.get(path)!.chosen.data));
  tally.choices += device.size + entries.size;
  if (!differs) return own;
  // With the device's choices forced, each route tells what its own scores would have chosen, and by what margin.
  const forced = reference(graph, weights, given, device, entries);
  for (const [axis, choice] of device) {
    const route = forced.routes.get(axis)!;
    if (same(choice.index.data, route.chosen.index.data)) continue;
    tally.forced++;
    for (let b = 0; b < route.margins.length; b++) {
      const rows = (c: typeof choice): readonly number[] => [
        ...c.index.data.subarray(c.starts.data[b], c.starts.data[b + 1]),
      ];
      if (same(rows(choice), rows(route.chosen))) continue;
      expect(
        route.margins[b]!,
        `route ${axis}, sequence ${b}: chose otherwise with a margin beyond the error of the scores`,
      ).toBeLessThan(SCORE_ERROR);
    }
  }
  for (const [path, { data, shape }] of entries) {
    const { chosen, margins } = forced.entries.get(path)!;
    const k = shape.at(-1)!;
    const apart = [...margins.keys()].filter((row) => !same(rowOf(data, k, row), rowOf(chosen.data, k, row)));
    if (apart.length > 0) tally.forced++;
    for (const row of apart)
      expect(
        margins[row]!,
        `${path}, row ${row}: chose otherwise with a margin beyond the error of the scores`,
      ).toBeLessThan(SCORE_ERROR);
  }
  return forced;
}

const rowOf = (data: Float64Array, k: number, row: number): Float64Array => data.subarray(row * k, (row + 1) * k);
