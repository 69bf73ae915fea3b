// What packages for several callers carry besides: caches in pages, so that calls at once share runs.
import { PagedCaches } from "../engine/caches/paged.js";
import { checkEngine } from "../engine/options.js";
import { openGenerator } from "../generate/generator.js";
import type { BatchOptions, TextGenerator } from "./text-generator.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Device } from "../../runtime/device/device.js";
import type { WeightsInput } from "../../runtime/weights/input.js";

/** Loads the programs of a generation with caches in pages. Throws what `createGenerator` throws. */
export function openBatch(
  generation: Generation,
  device: Device,
  weights: WeightsInput,
  { maxBatch, ...options }: BatchOptions,
): Promise<TextGenerator> {
  return openGenerator(generation, device, weights, options, {
    caches(own) {
      const [paged, { cacheMemory }] = checkEngine(own, { maxBatch });
      return new PagedCaches(paged, cacheMemory, maxBatch);
    },
    shared: true,
  });
}
