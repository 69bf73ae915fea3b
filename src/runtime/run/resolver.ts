// Resolves the sizes of a run: evaluates every distinct size of a program once.
import { type Axis, resolveSizes, type RunSizes, type Sizes } from "../../ground/size/axes.js";
import { printRational, type Rational } from "../../ground/numerics/rational.js";
import { inputAxes, type SizeTable } from "../steps/sizes.js";

export interface Resolved {
  /** Equal for runs of equal sizes. */
  readonly key: string;
  readonly run: RunSizes;
  readonly sizes: Sizes;
  /** The value of each distinct size. */
  readonly values: Float64Array;
}

export class Resolver {
  readonly #axes: readonly Axis[];
  readonly #table: SizeTable;
  readonly #live: ReadonlyMap<string, Rational>;

  /** `live`: values of live parameters for `most`. */
  constructor(axes: readonly Axis[], table: SizeTable, live: ReadonlyMap<string, Rational>) {
    this.#axes = axes;
    this.#table = table;
    this.#live = live;
  }

  /** The sizes of a run; `current` if it has the same sizes. */
  resolve(run: RunSizes, current: Resolved | null): Resolved {
    const lengths = [...run.lengths].map(([axis, l]) => `${axis}: ${l.join()}`);
    const key = [...run.extents, ...lengths, ...[...run.live].map(([name, v]) => `${name}=${printRational(v)}`)].join(
      " ",
    );
    if (current?.key === key) return current;
    const sizes = resolveSizes(this.#axes, run);
    return { key, run, sizes, values: this.#table.values(sizes) };
  }

  /**
   * Sizes at these extents, with the bound for other axes. If these sizes do not fit the device, other axes have extent
   * 1, and the buffers grow on demand.
   */
  most(given: ReadonlyMap<string, number>, fits: (resolved: Resolved) => boolean): Resolved {
    const at = (otherwise: (bound: number | null) => number): Resolved => {
      const extents = new Map(inputAxes(this.#axes).map((a) => [a.name, given.get(a.name) ?? otherwise(a.bound)]));
      return this.resolve({ extents, lengths: new Map(), live: this.#live }, null);
    };
    const bounds = at((bound) => bound ?? 1);
    return fits(bounds) ? bounds : at(() => 1);
  }
}
