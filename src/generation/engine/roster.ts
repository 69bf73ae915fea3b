// The sequences of an engine: those that wait, and those that have a place on the device.
import type { Sequence } from "./sequence.js";

export class Roster {
  /** Those that wait for a place, those that came first at the front. */
  readonly #waiting: Sequence[] = [];
  /** Those that have a place, in the order in which they got it. */
  readonly #active: Sequence[] = [];
  /** Whether a sequence gave up its memory for others: none begins until one of them has ended. */
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
  get isEmpty(): boolean {
    return this.#active.length === 0 && this.#waiting.length === 0;
  }
  /** Whether those that wait may begin, if there are places. */
  get admits(): boolean {
    if (this.#active.length === 0) this.short = false;
    return !this.short && this.#waiting.length > 0;
  }

  /** The number of those that wait and cannot begin, with `places` for others; places of ended ones count as free. */
  queued(places: number): number {
    const leaving = this.#active.filter(({ over }) => over).length;
    return Math.max(0, this.#waiting.length - (this.short ? 0 : places) - leaving);
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
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

  /** Takes out those that have a place, are over, and are in no run in flight. */
  takeEnded(): readonly Sequence[] {
    const gone = this.#active.filter((s) => s.over && s.inFlight === 0);
    for (const sequence of gone) this.#active.splice(this.#active.indexOf(sequence), 1);
    return gone;
  }

  /** Lets a sequence wait again, in front of those that came after it. */
  putBack(sequence: Sequence): void {
    this.#active.splice(this.#active.indexOf(sequence), 1);
    const at = this.#waiting.findIndex((s) => s.began > sequence.began);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, sequence);
  }
}
