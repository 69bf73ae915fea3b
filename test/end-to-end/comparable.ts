// Which cases of random models 32-bit floats can be judged by.
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../src/compiler/reference/evaluate.js";
import { random } from "../random.js";
import { furthest, reference, type Case, type Weights } from "./model.js";

/**
 * Values are of order 1 to 10 after a few layers of width 4 to 16. Random expressions take differences and quotients of
 * them, which can make an f32 error of 1e-6 a hundred times larger: hence a wide tolerance. A wrong index or a wrong
 * row is off by the size of the values.
 */
export const TOLERANCE = { atol: 2e-3, rtol: 2e-3 };
/** No case with larger results is judged. */
const LARGEST = 1e6;

/**
 * Weights off by about one f32 rounding, choices held: where that alone moves a result by a tenth of the tolerance, f32
 * cannot be judged.
 */
export function comparable(graph: Graph, weights: Weights, given: Case, wanted: Evaluation): boolean {
  const rng = random(1);
  const nudged = new Map(
    [...weights].map(([path, w]) => [path, { shape: w.shape, data: w.data.map((v) => v * (1 + 3e-7 * rng.normal())) }]),
  );
  const forced = new Map([...wanted.routes].map(([axis, r]) => [axis, r.used]));
  const moved = reference(graph, nudged, given, forced);
  return [...wanted.outputs].every(
    ([name, o]) =>
      furthest(moved.outputs.get(name)!.data, o.data, TOLERANCE.atol, TOLERANCE.rtol).ratio < 0.1 &&
      o.data.every((v) => Math.abs(v) < LARGEST),
  );
}
