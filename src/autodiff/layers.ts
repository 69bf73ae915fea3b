// Layers by call path: what is computed again as a whole where memory is short.
import { nodesOf, type Graph } from "../ir/graph.js";
import type { Recompute } from "./rematerialization.js";

/**
 * The layer that a call path lies in: up to its first number, `layers.3` of `layers.3.inner.mlp`, and of a layer that
 * is called several times the call: `shared.0#2`.
 */
export const layerOf = (path: string): string | null => /^(?:.*?\.)?\d+(?:#\d+)?(?=\.|$)/.exec(path)?.[0] ?? null;

/** What of these layers is not kept is computed again; for `gradients`. */
export const recomputing =
  (layers: ReadonlySet<string>): Recompute =>
  (path) => {
    const layer = layerOf(path);
    return layer !== null && layers.has(layer) ? layer : null;
  };

/** The layers of a graph, in order of computation. */
export const layersOf = (graph: Graph): readonly string[] =>
  [
    ...new Set(
      nodesOf(graph).flatMap((node) => (node.origin && node.inputs.length > 0 ? [layerOf(node.origin.path)] : [])),
    ).values(),
  ].filter((layer) => layer !== null);
