// The settings of the last run on the device: its sizes, promises and seed.
import type { RunPromise } from "../program/program.js";
import type { Buffers } from "../steps/buffers.js";
import type { FirstRuns } from "./first-runs.js";
import type { Steps } from "../steps/steps.js";
import type { Tables } from "../steps/tables.js";
import { resolveSizes, type Axis, type RunSizes, type Sizes } from "../../ground/size/axes.js";
import { printRational, type Rational } from "../../ground/numerics/rational.js";
import { inputAxes, type SizeTable } from "../steps/sizes.js";

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

export interface Resolved {
  readonly run: RunSizes;
  readonly sizes: Sizes;
  /** The value of each distinct size. */
  readonly values: Float64Array;
}

const MOST_KNOWN = 32;

export class Resolver {
  readonly #axes: readonly Axis[];
  readonly #table: SizeTable;
  readonly #live: ReadonlyMap<string, Rational>;
  /** Sizes of the last runs. Generation repeats a few, and hundreds of sizes take as long to evaluate as a step. */
  readonly #known = new Map<string, Resolved>();

  /** `live`: values of live parameters for `most`. */
  constructor(axes: readonly Axis[], table: SizeTable, live: ReadonlyMap<string, Rational>) {
    this.#axes = axes;
    this.#table = table;
    this.#live = live;
  }

  /** The sizes of a run, once the table has all sizes: mostly the same object for runs of equal sizes. */
  resolve(run: RunSizes): Resolved {
    const live = [...run.live].map(([name, v]) => [name, printRational(v)]);
    const key = [...run.extents, "", ...run.lengths, "", ...live].join(" ");
    const known = this.#known.get(key) ?? this.#evaluated(run);
    if (this.#known.size > MOST_KNOWN) this.#known.clear();
    this.#known.set(key, known);
    return known;
  }

  #evaluated(run: RunSizes): Resolved {
    const sizes = resolveSizes(this.#axes, run);
    return { run, sizes, values: this.#table.values(sizes) };
  }

  /**
   * Sizes at these extents, with the bound for other axes. If these sizes do not fit the device, other axes have extent
   * 1, and the buffers grow on demand.
   */
  most(given: ReadonlyMap<string, number>, fits: (resolved: Resolved) => boolean): Resolved {
    const at = (otherwise: (bound: number | null) => number): Resolved => {
      const extents = new Map(inputAxes(this.#axes).map((a) => [a.name, given.get(a.name) ?? otherwise(a.bound)]));
      return this.#evaluated({ extents, lengths: new Map(), live: this.#live });
    };
    const bounds = at((bound) => bound ?? 1);
    return fits(bounds) ? bounds : at(() => 1);
  }
}
