// Takes a sequence from the device. It waits in front of later ones, and is read again.
import type { Caches } from "./caches/caches.js";
import type { Core } from "./core.js";
import type { Sequence } from "./sequence.js";

/** No run in flight has the sequence. */
export function putBack<C extends Caches>({ opened, roster }: Core<C>, sequence: Sequence): void {
  opened.caches.release(sequence, false);
  sequence.submitted = sequence.read = sequence.inFlight = sequence.choosing = 0;
  sequence.rows = sequence.rows.map(() => 0);
  sequence.slot = null;
  sequence.phase = "waiting";
  roster.deactivate(sequence);
  roster.add(sequence);
}
