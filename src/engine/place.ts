// An engine's programs on a device, and its pools there.
import { type Place, placeOn } from "../generate/place.js";
import { type Device, openDevice, type WeightsInput } from "../runtime/index.js";
import type { CacheMemory } from "./memory.js";
import type { EngineLimits, EngineOptions, Paged } from "./options.js";

/** The most steps in flight. */
const MOST_AHEAD = 8;

export const openAnother: NonNullable<EngineOptions["recover"]> = async () => ({ device: await openDevice() });

/** Loads both programs, with the pools of `memory`. */
export function placeFor(
  paged: Paged,
  device: Device,
  weights: WeightsInput | undefined,
  { chunk, maxBatch }: EngineLimits,
  memory: CacheMemory,
  { seed, signal, onProgress }: EngineOptions,
): Promise<Place> {
  const { page, slots, axes } = paged.pages;
  const one = axes.flatMap(({ pages }) => (pages ? [[pages.axis, 1] as const] : []));
  const capacities = paged.axes.flatMap(({ capacity }) => (capacity ? [[capacity, page] as const] : []));
  return placeOn(
    paged,
    device,
    weights,
    { chunk, ahead: MOST_AHEAD },
    { ...(seed !== undefined && { seed }), ...(signal && { signal }), ...(onProgress && { onProgress }) },
    { ...memory.extents, [slots.axis]: maxBatch, ...Object.fromEntries([...one, ...capacities]) },
  );
}

/** Makes the pools as large as so many pages each. */
export async function growPools(
  { prompt }: Place,
  { pages: { page, axes } }: Paged,
  pages: readonly number[],
): Promise<void> {
  const pools = axes.flatMap(({ pool }, i) => (pool === null ? [] : [[pool, pages[i]! * page] as const]));
  await prompt.growStates(Object.fromEntries(pools));
}

/** Begins all states anew, with the pools of `memory`. */
export async function resetPools(
  { prompt }: Place,
  { pages: { slots } }: Paged,
  memory: CacheMemory,
  maxBatch: number,
): Promise<void> {
  await prompt.resetStates({ ...memory.extents, [slots.axis]: maxBatch });
}
