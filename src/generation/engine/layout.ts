// Opens a generation with caches of its layout: in pages, with shared prefixes and drafts, or side by side, for one
// group at a time. Not in packages.
import { bug } from "../../ground/base/invariant.js";
import type { Device, WeightsInput } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import { ContiguousCaches } from "./caches/contiguous.js";
import { PagedCaches } from "./caches/paged.js";
import { Core, type CoreParts, type Opened, type Ran } from "./core.js";
import { draftsOf } from "./draft.js";
import { type EngineLimits, type EngineOptions, isPaged } from "./options.js";
import { placeOn, type PlaceOptions } from "./place.js";
import type { Report } from "./report.js";
import { makeRoom } from "./room.js";
import type { Sequence } from "./sequence.js";
import type { EngineState } from "./types.js";

/** Loads the programs that the options need. Throws what `load` throws. */
export async function openOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  { maxBatch, cacheMemory, chunk }: EngineLimits,
  { draft, ...given }: Omit<PlaceOptions, "others" | "chunk"> & Pick<EngineOptions, "draft">,
): Promise<Opened> {
  const options = { ...given, chunk };
  if (!isPaged(generation)) {
    const caches = new ContiguousCaches(generation);
    return { generation, caches, place: await placeOn(generation, device, weights, caches, options) };
  }
  const { draft: drafting, first } = generation.pages;
  const caches = new PagedCaches(generation, cacheMemory, maxBatch, first !== null);
  const others: (readonly [Program, number])[] = [];
  if (draft === "routes" && drafting) others.push([drafting.step, options.ahead], [drafting.verify, 1]);
  if (first) others.push([first, options.ahead]);
  const place = await placeOn(generation, device, weights, caches, { ...options, others });
  return { generation, caches, place: first ? { ...place, first: place.others.at(-1) } : place };
}

/** Parts of a core that only caches in pages have. */
export interface LayoutParts extends Pick<EngineOptions, "draft"> {
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

/** Bytes of keys and values, in use and free. */
export function cacheUse({ generation, caches }: Opened, active: readonly Sequence[]): EngineState["cache"] {
  if (caches instanceof PagedCaches) return caches.use(active);
  const { axes, layers } = generation;
  const bytes = (rowsOf: (axis: number) => number): number =>
    layers.reduce((sum, layer) => sum + layer.bytes * rowsOf(axes.findIndex(({ axis }) => axis === layer.axis)), 0);
  const used = bytes((axis) => active.reduce((n, { rows }) => n + rows[axis]!, 0));
  const limit = bytes((axis) => caches.allocated(axis, [0]));
  return { used, kept: 0, free: Math.max(0, limit - used), limit, streams: { own: 0, dense: 0 } };
}
