// Loading an engine.
import type { Generation } from "../../runtime/program/generation.js";
import type { Device, WeightsInput } from "../../runtime/index.js";
import { BatchEngine } from "./engine.js";
import { CacheMemory } from "./memory.js";
import { checkEngine, type EngineOptions } from "./options.js";
import { placeFor } from "./place.js";
import type { Engine } from "./types.js";

/**
 * Loads a generation whose caches lie in pages, and its weights, onto a device. Throws what `load` throws, and
 * InputError for an invalid option.
 */
export async function createEngine(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: EngineOptions = {},
): Promise<Engine> {
  const [paged, limits] = checkEngine(generation, options);
  const memory = new CacheMemory(paged, limits.cacheMemory);
  const place = await placeFor(paged, device, weights, limits, memory, options);
  return new BatchEngine({ paged, limits, memory, place, weights, options });
}
