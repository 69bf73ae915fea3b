// Packages for several callers carry this too: caches in pages, so that calls at once share runs.
import { PagedCaches } from "../engine/caches/paged.js";
import { checkEngine } from "../engine/options.js";
import { makeRoom } from "../engine/room.js";
import { type EnginePart, openShared } from "./text-generator.js";

export const openBatch: EnginePart["openBatch"] = (generation, device, weights, maxBatch, options) => {
  const [model, { cacheMemory }] = checkEngine(generation, { maxBatch });
  const caches = new PagedCaches(model, cacheMemory, maxBatch);
  return openShared(model, device, weights, caches, options, (core, given) => makeRoom(core, given, () => {}));
};
