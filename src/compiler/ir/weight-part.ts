// Shapes of weights that are loaded in parts.
import type { OpAttrs } from "./vocabulary.js";

/** The shape of the whole weight; the node may be a part of it. */
export const wholeShape = ({ shape, part }: OpAttrs["weight"]): readonly number[] =>
  shape.map((n, d) => (d === part?.axis ? part.of : n));
