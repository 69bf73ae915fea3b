// The model and the use of a request, as an engine reports them.
import { flopsOf } from "./flops.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Sequence } from "./sequence.js";
import type { EngineModel, RequestUse } from "./types.js";

/**
 * The number of attentions on each axis; 1 for a route without attention, 0 for the axis of all tokens without
 * attention.
 */
export const layersOn = ({ axes, layers }: Pick<Generation, "axes" | "layers">): readonly number[] =>
  axes.map(({ axis }, i) => Math.max(layers.filter((l) => l.axis === axis).length, i === 0 ? 0 : 1));

export function modelOf(generation: Generation): EngineModel {
  const layers = layersOn(generation);
  return {
    vocabulary: generation.vocabulary,
    context: generation.context,
    routes: generation.axes.map(({ path }, i) => ({ path, layers: layers[i]! })),
    live: generation.prompt.live.map((l) => l.name),
  };
}

/** The use of the tokens that were read; operations as those of steps, each with a cache of half the sequence. */
export function useOf(generation: Generation, sequence: Sequence): RequestUse {
  const { axes, layers, sequenceAxis, batchAxis, step } = generation;
  const { promptLength, generated } = sequence;
  const bytes = axes.map(({ axis }) => layers.reduce((sum, l) => sum + (l.axis === axis ? l.bytes : 0), 0));
  const [read = 0] = sequence.rows; // every token is on the first axis
  const work = (dense: boolean): number => {
    if (read === 0) return 0;
    const rowsOn = (i: number): number => (dense ? read : sequence.rows[i]!);
    const rows = axes.map(({ axis }, i) => [axis, rowsOn(i)] as const);
    const extents = axes.flatMap(({ capacity }, i) =>
      capacity === null ? [] : [[capacity, Math.ceil(rowsOn(i) / 2)] as const],
    );
    // Of a prompt only the last token's logits are computed.
    const sizes = {
      rows: new Map([...rows, [sequenceAxis, generated + 1]]),
      extents: new Map([...extents, [batchAxis, 1]]),
    };
    return flopsOf(step, sizes, { dense });
  };
  const cached = (rows: (i: number) => number): number => bytes.reduce((sum, each, i) => sum + each * rows(i), 0);
  return {
    promptTokens: generated > 0 ? promptLength : Math.min(read, promptLength),
    cachedTokens: sequence.cached ?? 0,
    generatedTokens: generated,
    routes: [...sequence.rows],
    flops: { own: work(false), dense: work(true) },
    cache: { own: cached((i) => sequence.rows[i]!), dense: cached(() => read) },
  };
}
