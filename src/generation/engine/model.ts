// What an engine says of its model.
import { layersOn } from "../generate/summary.js";
import type { Paged } from "./options.js";
import type { EngineModel } from "./types.js";

export function modelOf(paged: Paged): EngineModel {
  const layers = layersOn(paged);
  return {
    vocabulary: paged.vocabulary,
    context: paged.context,
    routes: paged.axes.map(({ path }, i) => ({ path, layers: layers[i]! })),
    live: paged.prompt.live.map((l) => l.name),
  };
}
