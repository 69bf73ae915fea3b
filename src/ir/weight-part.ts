// Weights that are loaded in parts.
import type { OpAttrs } from "./vocabulary.js";

/** The shape of the weight that a node is, or is a part of. */
export const wholeShape = ({ shape, part }: OpAttrs["weight"]): readonly number[] =>
  shape.map((n, d) => (d === part?.axis ? part.of : n));
