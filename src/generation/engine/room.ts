// Makes room in caches in pages: they grow, or the sequence that came last gives up its room and is read again later.
import type { Caches, Growth } from "./caches/caches.js";
import type { PagedCaches } from "./caches/paged.js";
import type { Core } from "./core.js";
import { CacheFullError } from "./errors.js";
import type { Report } from "./report.js";
import type { Scheduled } from "./sequences/scheduler.js";
import type { Sequence } from "./sequences/sequence.js";

/** Makes room, with no run in flight and a sequence that lacks it. */
export async function makeRoom(core: Core<PagedCaches>, given: "none" | Growth, report: Report): Promise<void> {
  const { caches, place } = core.opened;
  if (given !== "none") return (await caches.grow(place.prompt, given)) ? undefined : limited(core, report);
  const last = leastUrgent(core.roster.active);
  const alone = core.roster.active.length === 1;
  preempt(core, last, report);
  if (!alone) {
    core.roster.short = true;
    return;
  }
  // A single sequence is left, and earlier sequences made the caches of other axes too large.
  const { limit } = caches;
  if (!(await caches.even(place.prompt))) return core.fail(last, new CacheFullError());
  if (caches.limit < limit) limited(core, report);
}

/** The sequence that gives up its memory if it is short: the one that came last. */
export const leastUrgent = <S extends Scheduled>(active: readonly S[]): S =>
  active.toSorted((a, b) => a.began - b.began).at(-1)!;

/** Takes the room of a sequence for others. */
function preempt(core: Core<PagedCaches>, sequence: Sequence, report: Report): void {
  report("preempted", sequence.read - sequence.found);
  putBack(core, sequence);
}

/** The device has less memory than was wanted. Sequences end where the caches do; longer ones fail. */
function limited(core: Core<PagedCaches>, report: Report): void {
  report("cacheLimited", core.opened.caches.memory);
  endUnfitting(core);
}

/** Ends all sequences with the caches; fails those that are longer. */
export function endUnfitting<C extends Caches>(core: Core<C>): void {
  const { limit } = core.opened.caches;
  for (const sequence of core.roster.all) if (!sequence.limitTo(limit)) core.fail(sequence, new CacheFullError());
}

/** Takes a sequence from the device; no run in flight has it. It waits in front of later ones, and is read again. */
export function putBack<C extends Caches>({ opened, roster }: Core<C>, sequence: Sequence): void {
  opened.caches.release(sequence, false);
  sequence.submitted = sequence.read = sequence.inFlight = sequence.choosing = 0;
  sequence.rows = sequence.rows.map(() => 0);
  sequence.slot = null;
  sequence.phase = "waiting";
  roster.deactivate(sequence);
  roster.add(sequence);
}
