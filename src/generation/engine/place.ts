// An engine's programs on a device, and its pools there.
import { disposePlace, type Place, placeOn } from "../generate/place.js";
import {
  type Device,
  LimitError,
  load,
  openDevice,
  OutOfMemoryError,
  type Session,
  type WeightsInput,
} from "../../runtime/index.js";
import type { DraftPlace } from "./draft.js";
import type { CacheMemory } from "./memory.js";
import { MOST_AHEAD } from "./pace.js";
import type { EngineLimits, EngineOptions, Paged } from "./options.js";

export const openAnother: NonNullable<EngineOptions["recover"]> = async () => ({ device: await openDevice() });

export interface EnginePlace extends Place {
  readonly draft: DraftPlace | null;
}

/** Loads the programs, with the pools of `memory`; frees everything if one fails. */
export async function placeFor(
  paged: Paged,
  device: Device,
  weights: WeightsInput | undefined,
  limits: EngineLimits,
  memory: CacheMemory,
  options: EngineOptions,
): Promise<EnginePlace> {
  const place = await placeBoth(paged, device, weights, limits, memory, options);
  if (options.draft !== "routes" || !paged.pages.draft) return { ...place, draft: null };
  const { seed, signal } = options;
  const shared = {
    statesOf: place.prompt,
    weightsOf: place.prompt,
    compile: "run",
    ...(seed !== undefined && { seed }),
    ...(signal && { signal }),
  } as const;
  const sessions: Session[] = [];
  try {
    const { step, verify } = paged.pages.draft;
    for (const [program, inFlight] of [
      [step, MOST_AHEAD],
      [verify, 1],
    ] as const) {
      const known = new Set(program.axes.map((a) => a.name));
      const max = Object.entries(extentsOf(paged, limits, memory)).filter(([name]) => known.has(name));
      const tokens = { [paged.batchAxis]: 1, [paged.sequenceAxis]: 1, [paged.tokenAxis]: 1 };
      const all = { ...tokens, ...Object.fromEntries(max) };
      sessions.push(await load(program, device, weights, { ...shared, inFlight, max: all }));
    }
    return { ...place, draft: { step: sessions[0]!, verify: sessions[1]! } };
  } catch (error) {
    for (const session of sessions) session.dispose();
    disposePlace(place);
    throw error;
  }
}

export function disposeEnginePlace({ draft, ...place }: EnginePlace): void {
  draft?.verify.dispose();
  draft?.step.dispose();
  disposePlace(place);
}

/** Extents of the axes of caches, for one page of a text. */
function extentsOf(
  { pages, axes }: Paged,
  { maxBatch }: EngineLimits,
  memory: CacheMemory,
): Readonly<Record<string, number>> {
  const one = pages.axes.flatMap((a) => (a.pages ? [[a.pages.axis, 1] as const] : []));
  const capacities = axes.flatMap(({ capacity }) => (capacity ? [[capacity, pages.page] as const] : []));
  return { ...memory.extents, [pages.slots.axis]: maxBatch, ...Object.fromEntries([...one, ...capacities]) };
}

function placeBoth(
  paged: Paged,
  device: Device,
  weights: WeightsInput | undefined,
  limits: EngineLimits,
  memory: CacheMemory,
  { seed, signal, onProgress, weightsOf }: EngineOptions,
): Promise<Place> {
  return placeOn(
    paged,
    device,
    weights,
    { chunk: limits.chunk, ahead: MOST_AHEAD },
    {
      ...(seed !== undefined && { seed }),
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
      ...(weightsOf && { weightsOf }),
    },
    extentsOf(paged, limits, memory),
  );
}

/** Makes the pools as large as so many pages each; false, with the pools unchanged, where the device has no room. */
export function growPools(
  { prompt }: Place,
  { pages: { page, axes } }: Paged,
  pages: readonly number[],
): Promise<boolean> {
  const pools = axes.flatMap(({ pool }, i) => (pool === null ? [] : [[pool, pages[i]! * page] as const]));
  return hasRoom(prompt.growStates(Object.fromEntries(pools)));
}

/**
 * Begins all states anew, with the pools of `memory`; what they had more is free for others. False, with the states
 * unchanged, where the device has no room.
 */
export const resetPools = (
  { prompt }: Place,
  { pages: { slots } }: Paged,
  memory: CacheMemory,
  maxBatch: number,
): Promise<boolean> => hasRoom(prompt.resetStates({ ...memory.extents, [slots.axis]: maxBatch }, { shrink: true }));

async function hasRoom(made: Promise<void>): Promise<boolean> {
  try {
    await made;
    return true;
  } catch (error) {
    if (error instanceof LimitError || error instanceof OutOfMemoryError) return false;
    throw error;
  }
}
