// Which layers computed which tokens of a generation, put together from what its steps said and what its caches hold.
import type { GeneratedToken } from "../../generate/index.js";
import type { Generation } from "../../program/generation.js";

/**
 * 1: the layer computed the token; 0: it did not; null: nobody knows, as nothing is kept of it, or the token was not
 * read.
 */
export type Mark = 0 | 1 | null;

export interface HeatedLayer {
  readonly path: string;
  /** By token, those of the prompt first. */
  readonly marks: readonly Mark[];
}

export interface Heated {
  /** How many tokens are the prompt's. */
  readonly prompt: number;
  /** Layers in order of computation, then routes on which no attention lies. */
  readonly layers: readonly HeatedLayer[];
}

/** `taken`: by axis the positions of the tokens that took it, or null; `events`: those of the sequence. */
export function heated(
  { axes, layers }: Pick<Generation, "axes" | "layers">,
  prompt: number,
  events: readonly Pick<GeneratedToken, "routes">[],
  taken: readonly (ArrayLike<number> | null)[],
): Heated {
  // The last token was chosen, and not read.
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
