// The axes of a model during unrolling: axes of the inputs, and axes defined by operations.
import { invariant } from "../../../ground/base/invariant.js";
import { mapAxis, type Axis } from "../../../ground/size/axes.js";
import type { CountRule } from "../../../ground/size/count-rules.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import { axisSize, substitute, type Size, type SizeExpr } from "../../../ground/size/size.js";
import type { LogicalAxis } from "../model/model.js";
import { entriesOf } from "../model/types.js";

export class MadeAxes {
  readonly #axes = new Map<string, LogicalAxis>();
  readonly #taken = new Map<string, number>();
  /** Caches `plain`: sizes without entry axes map to themselves. */
  readonly #plain = new Map<SizeExpr, Size>();
  #hasEntries = false;

  add(axis: LogicalAxis): void {
    this.#axes.set(axis.name, axis);
    this.#hasEntries ||= axis.role === "entries";
  }

  /** A separate function, so that a holder of this function keeps only the axes alive. */
  readonly axis = (name: string): LogicalAxis => {
    const axis = this.#axes.get(name);
    invariant(axis !== undefined, `no axis ${name}`);
    return axis;
  };

  make(hint: string, bound: number | null, count: CountRule): string {
    const name = this.#freeName(hint);
    this.add({ role: "sequence", name, bound, count });
    return name;
  }

  makeEntries(hint: string, bound: number, ragged: boolean): string {
    const name = this.#freeName(hint);
    this.add({ role: "entries", name, bound, ragged });
    return name;
  }

  /** The first unused axis name of `K`, `K2`, `K3`, …. */
  #freeName(hint: string): string {
    let n = this.#taken.get(hint) ?? 0;
    let name = hint;
    do name = ++n === 1 ? hint : `${hint}${n}`;
    while (this.#axes.has(name));
    this.#taken.set(hint, n);
    return name;
  }

  /** The size with every entry axis replaced by its bound. */
  plain(size: Size): Size {
    if (typeof size === "number" || !this.#hasEntries) return size;
    let plain = this.#plain.get(size);
    if (plain === undefined) {
      plain = substitute(size, (atom) =>
        atom.kind === "axis" ? (entriesOf(this, axisSize(atom.axis))?.bound ?? null) : null,
      );
      this.#plain.set(size, plain);
    }
    return plain;
  }

  /** The axes of the finished model, in which entry axes are numbers. */
  finished(): readonly Axis[] {
    const to = { size: (size: Size) => this.plain(size), ratio: (ratio: Rational) => ratio };
    return [...this.#axes.values()].flatMap((axis) => (axis.role === "entries" ? [] : mapAxis(axis, to)));
  }
}
