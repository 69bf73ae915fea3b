// Equivalence of axes: each layer's route has its own axis, but axes with equal rules have equal counts.
import type { TensorType } from "../../ir/types.js";
import type { Axis, SequenceAxis } from "../../../ground/size/axes.js";
import { mapRule, ruleKey } from "../../../ground/size/count-rules.js";
import { printRational } from "../../../ground/numerics/rational.js";
import { axisSize, printSize, rowsSize, substitute, type Size } from "../../../ground/size/size.js";

/** Replaces each axis by the first one with an equal rule, so that kernels of like layers are equal. */
export class EqualAxes {
  readonly #first = new Map<string, string>();
  readonly #sizes = new Map<string, Size>();

  /** `merges`: whether an axis may be replaced by, or replace, another of an equal rule. */
  constructor(axes: readonly Axis[], merges: (axis: string) => boolean) {
    const byRule = new Map<string, string>();
    for (const axis of axes) {
      if (axis.role !== "sequence" || !merges(axis.name)) continue;
      const key = this.#ruleKey(axis);
      const known = byRule.get(key);
      if (known === undefined) byRule.set(key, axis.name);
      else this.#first.set(axis.name, known);
    }
  }

  axis(name: string): string {
    return this.#first.get(name) ?? name;
  }

  size(size: Size): Size {
    if (typeof size === "number" || this.#first.size === 0) return size;
    let replaced = this.#sizes.get(size.key);
    if (replaced === undefined) {
      replaced = substitute(size, (atom) => {
        if (atom.kind !== "axis" && atom.kind !== "rows") return null;
        const first = this.#first.get(atom.axis);
        return first === undefined ? null : atom.kind === "axis" ? axisSize(first) : rowsSize(first);
      });
      this.#sizes.set(size.key, replaced);
    }
    return replaced;
  }

  type({ dtype, shape }: TensorType): TensorType {
    return { dtype, shape: shape.map((s) => this.size(s)) };
  }

  /** An operator's attributes with their `axis` and `shape`, if any, replaced. */
  attrs<A extends object>(attrs: A): A {
    // every operator's `shape` is a list of sizes
    const { axis, shape } = attrs as { readonly axis?: unknown; readonly shape?: readonly Size[] };
    if (typeof axis !== "string" && shape === undefined) return attrs;
    return {
      ...attrs,
      ...(typeof axis === "string" ? { axis: this.axis(axis) } : {}),
      ...(shape ? { shape: shape.map((s) => this.size(s)) } : {}),
    };
  }

  #ruleKey({ name, count: rule }: SequenceAxis): string {
    if (rule.kind === "input") return name;
    const printed = mapRule(rule, { size: (size) => printSize(this.size(size)), ratio: printRational });
    return ruleKey(printed, (parent) => this.axis(parent));
  }
}
