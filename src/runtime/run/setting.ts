// The settings of the last run on the device: its sizes, promises and seed.
import type { RunPromise } from "../program/program.js";
import type { Buffers } from "../steps/buffers.js";
import type { FirstRuns } from "./first-runs.js";
import type { Resolved } from "./resolver.js";
import type { Steps } from "../steps/steps.js";
import type { Tables } from "../steps/tables.js";

export class Setting {
  readonly #steps: Steps;
  readonly #tables: Tables;
  readonly #firstRuns: FirstRuns;
  #sizes: Resolved | null = null;
  /** Key of the promises for which stand-ins were chosen; null: they must be chosen again. */
  #promised: string | null = null;

  constructor(steps: Steps, tables: Tables, firstRuns: FirstRuns) {
    this.#steps = steps;
    this.#tables = tables;
    this.#firstRuns = firstRuns;
  }

  /** The sizes whose uniforms and tables are on the device. */
  get sizes(): Resolved | null {
    return this.#sizes;
  }

  /** Whether a run with these sizes and promises needs new settings. */
  changes(sizes: Resolved, promises: readonly RunPromise[], spare = true): boolean {
    return sizes !== this.#sizes || keyOf(promises, spare) !== this.#promised;
  }

  /**
   * Writes the settings. `spare`: compilation of kernels that do not pay yet may be avoided. If anything throws, the
   * settings stay unset.
   */
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

  /** Called when slots have new buffers: the settings must be written again. */
  newBuffers(buffers: Buffers): void {
    this.#steps.bind(buffers);
    this.#tables.forget();
    this.forget();
  }

  /** Called after the steps were submitted once. */
  ran(): void {
    if (this.#steps.ran()) this.#promised = null;
  }

  forget(): void {
    this.#sizes = null;
  }
}

const keyOf = (promises: readonly RunPromise[], spare: boolean): string => `${promises.join()} ${spare}`;
