// Layers by call path: the units of rematerialization.
import { nodesOf, type Graph } from "../ir/graph.js";
import type { Recompute } from "./rematerialization.js";

/**
 * The layer of a call path: the path up to its first number, `layers.3` for `layers.3.inner.mlp`. If a layer is called
 * several times, followed by the call: `shared.0#2`.
 */
export const layerOf = (path: string): string | null => /^(?:.*?\.)?\d+(?:#\d+)?(?=\.|$)/.exec(path)?.[0] ?? null;

/** The `recompute` option of `gradients` for a set of layers. */
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
