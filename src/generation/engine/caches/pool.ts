// The pages of one pool: which are free, and by how many texts each is held.
import { LimitError, OutOfMemoryError } from "../../../runtime/index.js";
import { bug } from "../../../ground/base/invariant.js";

/** Pages of a pool that may grow. A page may be held more than once: by texts that share a prefix. */
export class PagePool {
  readonly #holders: number[] = [];
  /** Last in, first out: pages that were used last are likely still in caches. */
  #free: number[] = [];

  constructor(pages: number) {
    this.grow(pages);
  }

  /** Pages in all. */
  get size(): number {
    return this.#holders.length;
  }
  get free(): number {
    return this.#free.length;
  }

  /** Adds pages, up to this number. */
  grow(pages: number): void {
    const added: number[] = [];
    while (this.#holders.length < pages) added.push(this.#holders.push(0) - 1);
    this.#free = [...added.reverse(), ...this.#free];
  }

  /** A page that nobody holds, held once now; null if there is none. */
  take(): number | null {
    const page = this.#free.pop();
    if (page === undefined) return null;
    this.#holders[page] = 1;
    return page;
  }

  hold(page: number): void {
    this.#holders[page]!++;
  }

  /** Lets go of a page; true if it is free now. */
  release(page: number): boolean {
    const left = --this.#holders[page]!;
    if (left > 0) return false;
    if (left < 0) bug(`page ${page} is released by more than hold it`);
    this.#free.push(page);
    return true;
  }
}

/** False if the device has no room for states that were to be made. */
export async function hasRoom(made: Promise<void>): Promise<boolean> {
  try {
    await made;
    return true;
  } catch (error) {
    if (error instanceof LimitError || error instanceof OutOfMemoryError) return false;
    throw error;
  }
}
