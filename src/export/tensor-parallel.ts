// Which linear maps several devices can share out (Shoeybi et al. 2019, arXiv 1909.08053): of "columns" each has some
// results, of "rows" it takes some operands, and the results of all are added up.
import type { Instance, LogicalType, Value } from "../check/model.js";
import type { Size } from "../size/size.js";
import { nativeOf } from "./native.js";
import type { Body } from "./outline.js";
import type { Needs, Variant } from "./variants.js";

export type Style = "columns" | "rows";

/** By paths in which `*` stands for the places in lists: those of blocks between whose maps all goes head by head. */
export function tensorPlan({ model, bodies }: Variant, needs: (path: string) => Needs): ReadonlyMap<string, Style> {
  const isLinear = (instance: Instance): boolean => nativeOf(instance, needs(instance.path))?.base === "nn.Linear";
  const linear = new Set(model.instances.filter(isLinear).map(({ path }) => path));
  const styles = new Map<string, Style | null>();
  for (const body of bodies.values()) {
    if (!body.items.some((item) => item.body && linear.has(item.body.path))) continue;
    const found = new Sharing(linear).of(body);
    for (const item of body.items) {
      if (!item.body || !linear.has(item.body.path)) continue;
      const pattern = item.body.path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*");
      const style = found?.get(item.body.path) ?? null;
      const known = styles.get(pattern);
      styles.set(pattern, known === undefined || known === style ? style : null);
    }
  }
  return new Map([...styles].flatMap(([pattern, style]) => (style === null ? [] : [[pattern, style] as const])));
}

const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** A result that has no form in parts. */
const WHOLE_ONLY = Symbol("whole only");

/** Which dimension of each value is shared out; values that are whole on each device are not there. */
class Sharing {
  readonly #dims = new Map<Value, number>();

  constructor(private readonly linear: ReadonlySet<string>) {}

  /** The styles of a body's maps; null where they cannot be shared out. */
  of(body: Body): ReadonlyMap<string, Style> | null {
    const styles = new Map<string, Style>();
    for (const item of body.items) {
      if (item.body && this.linear.has(item.body.path)) {
        const style = this.#linear(item.body);
        if (style === null) return null;
        styles.set(item.body.path, style);
      } else if (!(item.body ? this.#inner(item.body) : this.#value(item.value))) return null;
    }
    const used = new Set(styles.values());
    return used.size === 2 && body.outs.every((out) => !this.#dims.has(out)) ? styles : null;
  }

  #linear({ ins: [x], outs: [y] }: Body): Style | null {
    if (!x || !y) return null;
    const [from, to] = [this.#dims.get(x), lastOf(y.type)];
    if (y.type.shape[to] === 1 || x.type.shape.at(-1) === 1) return null; // a router, or the end of a predictor
    if (from === undefined) {
      this.#dims.set(y, to);
      return "columns";
    }
    return from === lastOf(x.type) ? "rows" : null;
  }

  /** A block between the maps, such as a norm of each head. */
  #inner(body: Body): boolean {
    if (body.ins.every((value) => !this.#dims.has(value))) return true;
    return body.items.every((item) =>
      item.body ? !this.linear.has(item.body.path) && this.#inner(item.body) : this.#value(item.value),
    );
  }

  #value(value: Value): boolean {
    if (value.inputs.every((input) => !this.#dims.has(input))) return true;
    const dim = this.#dimOf(value);
    if (dim === WHOLE_ONLY) return false;
    this.#dims.set(value, dim);
    return true;
  }

  #dimOf(value: Value): number | typeof WHOLE_ONLY {
    const [x] = value.inputs;
    const from = this.#dims.get(x!);
    if (is(value, "pointwise") || is(value, "powi") || is(value, "cast")) return this.#aligned(value);
    if (is(value, "attention")) {
      const [q, k, v, weights] = value.inputs;
      return !weights && q!.type.shape.length === 4 && [q, k, v].every((t) => this.#dims.get(t!) === 1)
        ? 1
        : WHOLE_ONLY;
    }
    if (from === undefined || value.inputs.slice(1).some((input) => this.#dims.has(input))) return WHOLE_ONLY;
    if (is(value, "rope")) return from === value.attrs.dim || from === lastOf(x!.type) ? WHOLE_ONLY : from;
    if (is(value, "softmax")) return from === value.attrs.axis ? WHOLE_ONLY : from;
    if (is(value, "permute")) return value.attrs.order.indexOf(from);
    if (is(value, "reshape")) return reshaped(x!.type.shape, value.type.shape, from);
    if (is(value, "reduce")) {
      const { axes, keep } = value.attrs;
      if (axes.includes(from)) return WHOLE_ONLY;
      return keep ? from : from - axes.filter((axis) => axis < from).length;
    }
    return WHOLE_ONLY;
  }

  /** All operands in parts lie alike, and others are the same along that dimension. */
  #aligned(value: Value): number | typeof WHOLE_ONLY {
    const fromEnd = new Set<number>();
    for (const input of value.inputs) {
      const dim = this.#dims.get(input);
      if (dim !== undefined) fromEnd.add(input.type.shape.length - dim);
    }
    const [end, ...more] = fromEnd;
    if (end === undefined || more.length > 0) return WHOLE_ONLY;
    const same = value.inputs.every(
      (input) => this.#dims.has(input) || (input.type.shape.at(-end) ?? 1) === 1 || input.type.shape.length < end,
    );
    return same ? value.type.shape.length - end : WHOLE_ONLY;
  }
}

const lastOf = ({ shape }: LogicalType): number => shape.length - 1;

/** A dimension that is split keeps its parts in the first of the new ones, and so does the first of those merged. */
function reshaped(from: readonly Size[], to: readonly Size[], dim: number): number | typeof WHOLE_ONLY {
  const same = (a: Size | undefined, b: Size | undefined): boolean =>
    a === b || (typeof a === "object" && typeof b === "object" && a.key === b.key);
  let first = 0;
  while (first < Math.min(from.length, to.length) && same(from[first], to[first])) first++;
  let last = 0;
  while (last < Math.min(from.length, to.length) - first && same(from.at(-1 - last), to.at(-1 - last))) last++;
  if (dim < first) return dim;
  if (dim >= from.length - last) return dim + to.length - from.length;
  return dim === first && to.length - last > first ? first : WHOLE_ONLY;
}
