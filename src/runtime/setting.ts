// What the device was last told of a run: its sizes, what is promised of it, and the seed.
import type { RunPromise } from "../program/program.js";
import type { Buffers } from "./buffers.js";
import type { FirstRuns } from "./first-runs.js";
import type { Resolved } from "./resolver.js";
import type { Steps } from "./steps.js";
import type { Tables } from "./tables.js";

export class Setting {
  readonly #steps: Steps;
  readonly #tables: Tables;
  readonly #firstRuns: FirstRuns;
  #sizes: Resolved | null = null;
  /** What is promised of the runs that steps were chosen for; null: they are to be chosen anew. */
  #promised: string | null = null;

  constructor(steps: Steps, tables: Tables, firstRuns: FirstRuns) {
    this.#steps = steps;
    this.#tables = tables;
    this.#firstRuns = firstRuns;
  }

  /** Sizes whose uniforms and tables the device has. */
  get sizes(): Resolved | null {
    return this.#sizes;
  }

  /** Whether the device has to be told of such a run. */
  changes(sizes: Resolved, promises: readonly RunPromise[], spare = true): boolean {
    return sizes !== this.#sizes || keyOf(promises, spare) !== this.#promised;
  }

  /** Tells it; `spare`: kernels that do not pay yet may be spared. Not yet set where anything throws. */
  set(sizes: Resolved, promises: readonly RunPromise[], seed: number, spare = true): void {
    const changes = this.changes(sizes, promises, spare);
    this.#sizes = null;
    if (changes) {
      this.#steps.setSizes(sizes.values, promises, spare);
      this.#firstRuns.sizesChanged();
      this.#tables.write(sizes.run, sizes.sizes);
    }
    this.#tables.writeSeed(seed);
    this.#sizes = sizes;
    this.#promised = keyOf(promises, spare);
  }

  /** Slots have other buffers now. */
  newBuffers(buffers: Buffers, slots: ReadonlySet<number>): void {
    if (slots.size === 0) return;
    this.#steps.bind(buffers);
    this.#tables.forget();
  }

  /** The steps were handed over once. */
  ran(): void {
    if (this.#steps.ran()) this.#promised = null;
  }

  forget(): void {
    this.#sizes = null;
  }
}

const keyOf = (promises: readonly RunPromise[], spare: boolean): string => `${promises.join()} ${spare}`;
