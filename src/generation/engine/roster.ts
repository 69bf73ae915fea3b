// The sequences of an engine: some wait, others have a place on the device.
import type { Sequence } from "./sequence.js";

export class Roster {
  /** Sequences without a place, first come first. */
  readonly #waiting: Sequence[] = [];
  /** Sequences with a place, first come first. */
  readonly #active: Sequence[] = [];
  /** Whether a sequence gave up its memory: no other begins until a sequence has ended. */
  short = false;

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }
  get active(): readonly Sequence[] {
    return this.#active;
  }
  get all(): readonly Sequence[] {
    return [...this.#active, ...this.#waiting];
  }
  /** Whether those that wait may begin, if there are places. */
  get admits(): boolean {
    if (this.#active.length === 0) this.short = false;
    return !this.short && this.#waiting.length > 0;
  }

  /** Adds a sequence that waits, in front of later ones. */
  add(sequence: Sequence): void {
    const at = this.#waiting.findIndex((s) => s.began > sequence.began);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, sequence);
  }

  /** Takes out a sequence that waits; false if it does not. */
  remove(sequence: Sequence): boolean {
    const at = this.#waiting.indexOf(sequence);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** A sequence that waited has got a place. */
  activate(sequence: Sequence): void {
    this.remove(sequence);
    this.#active.push(sequence);
  }

  /** Takes out a sequence that has a place. */
  deactivate(sequence: Sequence): void {
    this.#active.splice(this.#active.indexOf(sequence), 1);
  }
}
