// The texts of an engine: those that wait, and those that have a slot of the states on the device.
import type { Sequence } from "./sequence.js";

export class Texts {
  /** Those that wait for a slot, those that came first at the front. */
  readonly #waiting: Sequence[] = [];
  /** Those that have a slot, in the order in which they got it. */
  readonly #active: Sequence[] = [];
  readonly #slots: number[];
  /** Whether a text gave up its memory for others: none begins until one of them has ended. */
  short = false;

  constructor(slots: number) {
    this.#slots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }
  get active(): readonly Sequence[] {
    return this.#active;
  }
  get all(): readonly Sequence[] {
    return [...this.#active, ...this.#waiting];
  }
  /** The number of those that wait and cannot begin; slots of texts that are over count as free. */
  get behind(): number {
    const leaving = this.#active.filter(({ over }) => over).length;
    return Math.max(0, this.#waiting.length - (this.short ? 0 : this.#slots.length) - leaving);
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Takes out a text that waits; false if it does not. */
  remove(sequence: Sequence): boolean {
    const at = this.#waiting.indexOf(sequence);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** Takes the first that waits, and a slot for it; null where none may begin. */
  admit(): { readonly sequence: Sequence; readonly slot: number } | null {
    if (this.#active.length === 0) this.short = false;
    const [sequence, slot] = [this.#waiting[0], this.#slots.at(-1)];
    if (this.short || !sequence || slot === undefined) return null;
    this.#waiting.shift();
    this.#slots.pop();
    this.#active.push(sequence);
    return { sequence, slot };
  }

  /** Takes out those that have a slot, are over, and are in no run in flight. They keep the slot until `freeSlot`. */
  takeEnded(): readonly Sequence[] {
    const gone = this.#active.filter((s) => s.over && s.inFlight === 0);
    for (const sequence of gone) this.#active.splice(this.#active.indexOf(sequence), 1);
    return gone;
  }

  /** Lets a text wait again, in front of those that came after it. */
  putBack(sequence: Sequence): void {
    this.#active.splice(this.#active.indexOf(sequence), 1);
    const at = this.#waiting.findIndex((s) => s.settled.began > sequence.settled.began);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, sequence);
  }

  /** Frees the slot of a text, if it has one. */
  freeSlot(sequence: Sequence): void {
    if (sequence.slot !== null) this.#slots.push(sequence.slot);
    sequence.slot = null;
  }
}
