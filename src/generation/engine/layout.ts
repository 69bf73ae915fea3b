// Opens a generation with caches of its layout: in pages, with shared prefixes and drafts, or side by side, for one
// group at a time. Not in packages.
import { bug } from "../../ground/base/invariant.js";
import type { Device, WeightsInput } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import type { Caches } from "./caches/caches.js";
import { ContiguousCaches } from "./caches/contiguous.js";
import { PagedCaches } from "./caches/paged.js";
import { stateBytes } from "./caches/use.js";
import { Core, type CoreParts, type Opened, type Ran } from "./core.js";
import { draftsOf } from "./draft.js";
import type { OpenOptions } from "../types.js";
import { type EngineLimits, isPaged } from "./options.js";
import { placeOn, type PlaceOptions } from "./place.js";
import type { RecoveryOptions } from "./recovery.js";
import type { Report } from "./report.js";
import { makeRoom } from "./room.js";
import type { Sequence } from "./sequences/sequence.js";
import type { EngineState } from "./types.js";

/** Options of engines and generators that concern loading. */
type LoadingOptions = Omit<PlaceOptions, "others" | "chunk" | "ahead"> & Pick<OpenOptions, "draft">;

/** Loads a generation onto a device, and onto others in place of it. Throws what `load` throws. */
export async function openOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  limits: EngineLimits & { readonly ahead: number },
  { draft, live, seed, onProgress, signal, weightsOf }: LoadingOptions,
): Promise<{ readonly opened: Opened; readonly reopen: RecoveryOptions<Caches>["open"] }> {
  const shared = {
    ...(draft && { draft }),
    ...(live && { live }),
    ...(seed !== undefined && { seed }),
    ...(onProgress && { onProgress }),
  };
  const first = { ...shared, ...(signal && { signal }), ...(weightsOf && { weightsOf }) };
  return {
    opened: await loadOn(generation, device, weights, limits, first),
    reopen: (model, other, until) => loadOn(model, other, weights, limits, { ...shared, signal: until }),
  };
}

/** Loads the programs that the options need. */
async function loadOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  { maxBatch, cacheMemory, chunk, ahead }: EngineLimits & { readonly ahead: number },
  { draft, ...given }: LoadingOptions,
): Promise<Opened> {
  const options = { ...given, chunk, ahead };
  if (!isPaged(generation)) {
    const caches = new ContiguousCaches(generation);
    return { generation, caches, place: await placeOn(generation, device, weights, caches, options) };
  }
  const { draft: drafting, first } = generation.pages;
  const caches = new PagedCaches(generation, cacheMemory, maxBatch, first !== null);
  const others: (readonly [Program, number])[] = [];
  if (draft === "routes" && drafting) others.push([drafting.step, ahead], [drafting.verify, 1]);
  if (first) others.push([first, ahead]);
  const place = await placeOn(generation, device, weights, caches, { ...options, others });
  return { generation, caches, place: first ? { ...place, first: place.others.at(-1) } : place };
}

/** Parts of a core that only caches in pages have. */
interface LayoutParts extends Pick<OpenOptions, "draft"> {
  readonly report: Report;
  /** Called when tokens were drafted. */
  readonly ran: (run: Ran) => void;
}

/** A core, with what its caches allow. */
export function coreOf(parts: CoreParts, { draft, report, ran }: LayoutParts): Core {
  const { caches } = parts.opened;
  if (caches.together) return new Core(parts);
  if (!(caches instanceof PagedCaches)) bug("caches are neither in pages nor side by side");
  return new Core<PagedCaches>({
    ...parts,
    opened: { ...parts.opened, caches },
    makeRoom: (core, given) => makeRoom(core, given, report),
    ...(draft === "routes" && { drafts: draftsOf(report, ran) }),
  });
}

/** Bytes of keys, values and states of recurrences, in use and free. */
export function cacheUse({ generation, caches }: Opened, active: readonly Sequence[]): EngineState["cache"] {
  if (caches instanceof PagedCaches) return caches.use(active);
  const { axes, layers } = generation;
  const bytes = (sequences: number, rowsOf: (axis: number) => number): number =>
    layers.reduce(
      (sum, layer) => sum + layer.bytes * rowsOf(axes.findIndex(({ axis }) => axis === layer.axis)),
      sequences * stateBytes(generation),
    );
  const used = bytes(active.length, (axis) => active.reduce((n, { rows }) => n + rows[axis]!, 0));
  const limit = bytes(1, (axis) => caches.allocated(axis, [0]));
  return { used, kept: 0, free: Math.max(0, limit - used), limit, streams: { own: 0, dense: 0 } };
}
