// The generator of a package, for several callers. With caches side by side they take turns, with caches in pages they
// share runs.
import type { Caches } from "../engine/caches/caches.js";
import { Core, type CoreParts } from "../engine/core.js";
import { placeOn } from "../engine/place.js";
import { BaseGenerator } from "../generate/base.js";
import type { GeneratorOptions } from "../types.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Device } from "../../runtime/device/device.js";
import type { WeightsInput } from "../../runtime/weights/input.js";

export type ShareOptions = Pick<GeneratorOptions, "live" | "weightsOf" | "signal" | "onProgress">;

/** The part of the runtime that packages for several callers include. */
export interface EnginePart {
  /** Loads the programs of a generation with caches in pages, for at most `maxBatch` texts at once. */
  openBatch(
    generation: Generation,
    device: Device,
    weights: WeightsInput,
    maxBatch: number,
    options: ShareOptions,
  ): Promise<BaseGenerator>;
}

/** Loads the programs of a generation. Throws what `load` throws. */
export async function openShared<C extends Caches>(
  generation: Generation,
  device: Device,
  weights: WeightsInput,
  caches: C,
  options: ShareOptions,
  makeRoom?: CoreParts<C>["makeRoom"],
): Promise<BaseGenerator> {
  const [chunk, ahead] = [Math.min(256, generation.context ?? 256), 8];
  const place = await placeOn(generation, device, weights, caches, { ...options, chunk, ahead });
  const core = new Core({
    opened: { generation, caches, place },
    pace: { ahead: () => ahead, chunk: () => chunk },
    ...(makeRoom && { makeRoom }),
  });
  return new BaseGenerator(core);
}
