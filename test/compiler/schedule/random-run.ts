// Runs a random graph on a device, scheduled as it stands and optimized, for the device's own target and for any: all
// against the reference.
import { invariant } from "../../../src/ground/base/invariant.js";
import { emit } from "../../../src/compiler/codegen/emit.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate, type Evaluation } from "../../../src/compiler/reference/evaluate.js";
import { load, type Device } from "../../../src/runtime/index.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { ANY_DEVICE } from "../../any-device.js";
import { furthest } from "../../end-to-end/model.js";
import { random } from "../../random.js";
import { givenFor, type Given } from "./random-products.js";

/**
 * Values are of order 1 and chains of some twenty steps add, multiply and normalize them, so that an f32 error of 1e-6
 * may grow a hundredfold; a cast to f16 keeps three digits, and one that rounds the other way is off by 1e-3. A wrong
 * index or a wrong row is off by the size of the values.
 */
export const TOLERANCE = { atol: 3e-3, rtol: 3e-3 };
/** Results beyond this need intermediate values that f32 may not hold. */
const LARGEST = 1e5;

/** Sequences that a graph is run on: the second time with others than its buffers were made for. */
export const LENGTHS: readonly (readonly number[])[] = [[5, 0, 9], [1], [19, 33]];

export interface Outcome {
  /** Null where every result is close to the reference. */
  readonly fault: string | null;
  /** Runs compared, and those that a rounding of the inputs alone moves too far for f32 to be judged. */
  readonly compared: number;
  readonly beyond: number;
}

/** How a graph is scheduled. */
export interface Form {
  readonly optimized: boolean;
  readonly target: "device" | "portable";
}
export const FORMS: readonly Form[] = [false, true].flatMap((optimized) =>
  (["device", "portable"] as const).map((target): Form => ({ optimized, target })),
);

export async function outcome(
  graph: Graph,
  seed: number,
  device: Device,
  { lengths = LENGTHS, forms = FORMS } = {},
): Promise<Outcome> {
  const cases = lengths.map((own) => {
    const given = givenFor(graph, own, seed);
    const wanted = evaluate(graph, given);
    return { given, wanted, fits: isComparable(graph, given, wanted) };
  });
  const beyond = cases.filter((c) => !c.fits).length;
  let compared = 0;
  const seen = new Set<string>();
  for (const { optimized, target } of forms) {
    const own = optimized ? optimize(graph) : graph;
    const problems = verify(own, ops);
    invariant(problems.length === 0, problems.join("; "));
    const program = emit(schedule(own, target === "device" ? device.target : ANY_DEVICE));
    const text = JSON.stringify([program.kernels, program.steps]);
    if (seen.has(text)) continue;
    seen.add(text);
    const weights = cases[0]!.given.weights;
    const session = await load(program, device, (w) => weights.get(w.path)!.data, { max: { B: 1, T: 4 } });
    try {
      for (const { given, wanted } of cases.filter((c) => c.fits)) {
        const results = await session.run(given.inputs, { lengths: Uint32Array.from(given.lengths) });
        compared++;
        for (const [name, { data }] of wanted.outputs) {
          const { ratio, text: where } = furthest(results[name]!.data, data, TOLERANCE.atol, TOLERANCE.rtol);
          const how =
            `${optimized ? "optimized" : "as it stands"}, for ` +
            (target === "device" ? device.target.device : "any device");
          if (!(ratio < 1))
            return { fault: `${how}, lengths ${given.lengths.join(" ")}: ${name} ${where}`, compared, beyond };
        }
      }
    } finally {
      session.dispose();
    }
  }
  return { fault: null, compared, beyond };
}

/**
 * Whether inputs and weights that are off by about one f32 rounding, choices held, move no result by a tenth of the
 * tolerance.
 */
function isComparable(graph: Graph, given: Given, wanted: Evaluation): boolean {
  const rng = random(1);
  const nudged = (values: Given["inputs"]): Given["inputs"] =>
    new Map(
      [...values].map(([name, { shape, data }]) => [
        name,
        { shape, data: data.map((v) => v * (1 + 3e-7 * rng.normal())) },
      ]),
    );
  const forced = new Map([...wanted.routes].map(([axis, r]) => [axis, r.used]));
  const moved = evaluate(graph, { ...given, inputs: nudged(given.inputs), weights: nudged(given.weights), forced });
  return [...wanted.outputs].every(
    ([name, { data }]) =>
      furthest(moved.outputs.get(name)!.data, data, TOLERANCE.atol, TOLERANCE.rtol).ratio < 0.1 &&
      data.every((v) => Math.abs(v) < LARGEST),
  );
}
