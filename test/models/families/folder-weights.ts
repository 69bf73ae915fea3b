// A folder's weights, in the form that the reference takes.
import type { Program } from "../../../src/runtime/program/program.js";
import { matchWeights, readWeight } from "../../../src/runtime/index.js";
import { openWeights } from "../../../src/runtime/node.js";
import type { Weights } from "../../end-to-end/model.js";

export async function weightsOf(program: Pick<Program, "weights" | "ignore">, folder: string): Promise<Weights> {
  const source = await openWeights(folder);
  try {
    const matched = matchWeights(program, source);
    const read = program.weights.map(
      async (w) =>
        [w.path, { shape: w.shape, data: Float32Array.from(await readWeight(w, matched.get(w)!, source)) }] as const,
    );
    return new Map(await Promise.all(read));
  } finally {
    await source.close();
  }
}
