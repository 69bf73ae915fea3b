// Another device in place of a lost one, with the programs of an engine and empty caches.
import { type Device, type DeviceLostError, InputError, type WeightsInput } from "../../runtime/index.js";
import { CacheMemory } from "./memory.js";
import { modelOf } from "./model.js";
import { checkEngine, type EngineLimits, type EngineOptions, type Paged } from "./options.js";
import { openAnother, placeFor, type EnginePlace } from "./place.js";

export interface Replacement {
  readonly device: Device;
  readonly paged: Paged;
  readonly memory: CacheMemory;
  readonly place: EnginePlace;
}

/** Null where no other is wanted. Throws what opening and loading throw, and InputError for another model. */
export async function replacement(
  lost: DeviceLostError,
  before: Paged,
  limits: EngineLimits,
  weights: WeightsInput | undefined,
  given: EngineOptions,
): Promise<Replacement | null> {
  const { signal: _, weightsOf: __, ...options } = given; // for loading, and on the device that was lost
  const { recover = openAnother } = options;
  if (!recover) return null;
  const { device, generation } = await recover(lost);
  try {
    const paged = generation ? checkEngine(generation, options)[0] : before;
    expectSame(before, paged);
    const memory = new CacheMemory(paged, limits.cacheMemory);
    return { device, paged, memory, place: await placeFor(paged, device, weights, limits, memory, options) };
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** Texts go on with it: what they were checked against, and what is said of them, must be the same. */
function expectSame(before: Paged, after: Paged): void {
  if (JSON.stringify(modelOf(before)) !== JSON.stringify(modelOf(after)))
    throw new InputError("recover", "the generation for the other device belongs to another model");
}
