// Determines which layers computed which tokens of a generation, from the events of its steps and the contents of its
// caches.
import type { GeneratedToken } from "../../../generation/generate/index.js";
import type { Generation } from "../../../runtime/program/generation.js";

/**
 * 1: the layer computed the token; 0: it did not; null: unknown, as the layer has no cache or the token was not read.
 */
export type Mark = 0 | 1 | null;

export interface HeatedLayer {
  readonly path: string;
  /** One mark for each token, those of the prompt first. */
  readonly marks: readonly Mark[];
}

export interface Heated {
  /** Number of tokens in the prompt. */
  readonly prompt: number;
  /** Layers in order of computation, then routes without attention. */
  readonly layers: readonly HeatedLayer[];
}

/** `taken`: for each axis, the positions of the tokens that took it, or null; `events`: the events of the sequence. */
export function heated(
  { axes, layers }: Pick<Generation, "axes" | "layers">,
  prompt: number,
  events: readonly Pick<GeneratedToken, "routes">[],
  taken: readonly (ArrayLike<number> | null)[],
): Heated {
  // The last token was chosen but not read.
  const read = prompt + events.length - 1;
  const byAxis = axes.map((_, i): readonly Mark[] => {
    const marks = Array<Mark>(read + 1).fill(null);
    const positions = taken[i] ?? null;
    if (positions !== null) {
      marks.fill(0, 0, read);
      for (const at of Array.from(positions)) if (at < read) marks[at] = 1;
      return marks;
    }
    events.forEach(({ routes }, n) => {
      if (routes) marks[prompt + n - 1] = routes[i] ? 1 : 0;
    });
    return marks;
  });
  const marksOf = (axis: string): readonly Mark[] => byAxis[axes.findIndex((a) => a.axis === axis)]!;
  const bare = axes.filter(({ axis, path }) => path !== "" && layers.every((l) => l.axis !== axis));
  return { prompt, layers: [...layers, ...bare].map(({ path, axis }) => ({ path, marks: marksOf(axis) })) };
}
