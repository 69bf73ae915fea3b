// Finds linear layers for tensor parallelism (Shoeybi et al. 2019, arXiv 1909.08053).
// With "columns" each device computes some output features. With "rows" each device takes some input features, and the
// outputs are summed over the devices.
import type { Instance, LogicalType, Value } from "../../language/check/model/model.js";
import type { Size } from "../../ground/size/size.js";
import type { Stacks } from "./experts.js";
import { nativeOf } from "./native.js";
import { pathOfWeight, type Body } from "./outline.js";
import type { NeedsOf, Variant } from "./variants.js";

export type Style = "columns" | "rows";

/** How a linear layer is split. */
export interface Shared {
  readonly style: Style;
  /** The number of columns or rows that must stay together: a head's width, else 1. */
  readonly width: number;
}

/**
 * The split of each linear layer, keyed by path with `*` for list indices. A layer is split only if every version
 * computes head by head between the column-split and the row-split layers.
 */
export function tensorPlan(variants: readonly Variant[], needs: NeedsOf, stacks: Stacks): ReadonlyMap<string, Shared> {
  const plan = new Map<string, Shared | null>();
  const groups = variants.flatMap((variant) => [...groupsOf(variant, needs, stacks)]);
  for (const group of groups)
    for (const [pattern, shared] of group) {
      const known = plan.get(pattern);
      plan.set(pattern, known === undefined ? shared : both(known, shared));
    }
  // A row-split layer consumes the parts of column-split layers: either all layers of a group are split, or none.
  for (let isSettled = false; !isSettled;) {
    isSettled = true;
    for (const patterns of groups.map((group) => [...group.keys()])) {
      const shared = patterns.filter((pattern) => plan.get(pattern) !== null);
      if (shared.length === patterns.length) continue;
      for (const pattern of shared) plan.set(pattern, null);
      isSettled &&= shared.length === 0;
    }
  }
  return new Map([...plan].flatMap(([pattern, shared]) => (shared === null ? [] : [[pattern, shared] as const])));
}

type Group = ReadonlyMap<string, Shared | null>;

/**
 * For each body that calls linear layers: the split of each layer, keyed by path pattern; null if the layer stays
 * whole.
 */
function* groupsOf({ model, bodies }: Variant, needs: NeedsOf, stacks: Stacks): Generator<Group> {
  const biased = new Set(model.weights.flatMap(({ path }) => (path.endsWith(".bias") ? [path.slice(0, -5)] : [])));
  const isLinear = (instance: Instance): boolean =>
    stacks.of(instance.path) === null
      ? nativeOf(instance, needs.takesMore(instance.path))?.base === "nn.Linear"
      : nativeOf(instance, false)?.base === "nn.Linear";
  const linear = new Set(model.instances.filter(isLinear).map(({ path }) => path));
  const read = readElsewhere(bodies.values(), linear);
  const recorded = [...model.losses, ...model.observes].map(({ value }) => value);
  const patternOf = (instance: string): string => stacks.placeOf(instance).replace(/(?<=^|\.)\d+(?=\.|$)/g, "*");
  for (const body of bodies.values()) {
    const called = body.items.flatMap((item) =>
      item.body && linear.has(item.body.instance) ? [item.body.instance] : [],
    );
    if (called.length === 0) continue;
    const shared = new Sharing(linear).of(body, recorded);
    // A row-split bias would be added on each device, and the sum over devices would contain it several times.
    const isAdded = [...(shared ?? [])].some(
      ([path, { style }]) => style === "rows" && stacks.of(path) !== null && biased.has(path),
    );
    const style = isAdded || called.some((path) => read.has(path)) ? null : shared;
    const group = new Map<string, Shared | null>();
    for (const instance of called) {
      const [pattern, ownShare] = [patternOf(instance), style?.get(instance) ?? null];
      const known = group.get(pattern);
      group.set(pattern, known === undefined ? ownShare : both(known, ownShare));
    }
    yield group;
  }
}

/**
 * Linear layers whose weight is also read elsewhere, for example as a tied embedding; such a weight must stay whole.
 */
function readElsewhere(bodies: Iterable<Body>, linear: ReadonlySet<string>): ReadonlySet<string> {
  const read = new Set<string>();
  for (const { instance, items } of bodies)
    for (const path of items.flatMap(
      ({ value }) => value?.inputs.flatMap((input) => pathOfWeight(input) ?? []) ?? [],
    )) {
      const owner = path.slice(0, Math.max(0, path.lastIndexOf(".")));
      if (linear.has(owner) && owner !== instance) read.add(owner);
    }
  return read;
}

/** The common split of two layers with one pattern; null if the styles differ. */
const both = (a: Shared | null, b: Shared | null): Shared | null =>
  a && b && a.style === b.style ? { style: a.style, width: together(a.width, b.width) } : null;

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));
/** The least common multiple of two widths. */
const together = (a: number, b: number): number => (a / commonDivisor(a, b)) * b;

const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** Marks a result that cannot be computed in parts. */
const WHOLE_ONLY = Symbol("whole only");

/** Tracks which dimension of each value is split. Values that each device holds whole are not in the map. */
class Sharing {
  readonly #dims = new Map<Value, number>();
  /**
   * For each split value: the column-split layers that produced it, and the number of adjacent elements that stay
   * together.
   */
  readonly #made = new Map<Value, { readonly maps: ReadonlySet<Value>; readonly width: number }>();
  /** For each column-split layer's result: the number of columns that stay together. */
  readonly #widths = new Map<Value, number>();

  constructor(private readonly linear: ReadonlySet<string>) {}

  /** The split of a body's linear layers; null if no split exists. Recorded values must be whole. */
  of(body: Body, recorded: readonly Value[]): ReadonlyMap<string, Shared> | null {
    const styles = new Map<string, Style>();
    for (const item of body.items) {
      if (item.body && this.linear.has(item.body.instance)) {
        const style = this.#linear(item.body);
        const { instance } = item.body;
        if (style === null || (styles.get(instance) ?? style) !== style) return null;
        styles.set(instance, style);
      } else if (!(item.body ? this.#inner(item.body) : this.#value(item.value))) return null;
    }
    const used = new Set(styles.values());
    if (used.size < 2 || [...body.outs, ...recorded].some((value) => this.#dims.has(value))) return null;
    const width = ({ ins: [x], outs: [y] }: Body): number => this.#widths.get(y!) ?? this.#made.get(x!)?.width ?? 1;
    return new Map(
      body.items.flatMap((item) => {
        const style = item.body && styles.get(item.body.instance);
        return style === undefined ? [] : [[item.body!.instance, { style, width: width(item.body!) }] as const];
      }),
    );
  }

  #linear({ ins: [x], outs: [y] }: Body): Style | null {
    if (!x || !y) return null;
    const [from, to] = [this.#dims.get(x), lastOf(y.type)];
    if (y.type.shape[to] === 1 || x.type.shape.at(-1) === 1) return null; // a router or a predictor's last layer
    if (from === undefined) {
      this.#dims.set(y, to);
      this.#made.set(y, { maps: new Set([y]), width: 1 });
      this.#widths.set(y, 1);
      return "columns";
    }
    return from === lastOf(x.type) ? "rows" : null;
  }

  /** Follows a block between the linear layers, such as a per-head norm. */
  #inner(body: Body): boolean {
    if (body.ins.every((value) => !this.#dims.has(value))) return true;
    return body.items.every((item) =>
      item.body ? !this.linear.has(item.body.instance) && this.#inner(item.body) : this.#value(item.value),
    );
  }

  #value(value: Value): boolean {
    if (value.inputs.every((input) => !this.#dims.has(input))) return true;
    const dim = this.#dimOf(value);
    if (dim === WHOLE_ONLY) return false;
    this.#dims.set(value, dim);
    this.#follow(value, dim);
    return true;
  }

  /**
   * Splitting a dimension multiplies the width that stays together; merging dimensions requires parts that hold whole
   * heads.
   */
  #follow(value: Value, dim: number): void {
    const computed = value.inputs.flatMap((input) => this.#made.get(input) ?? []);
    const maps = new Set(computed.flatMap((of) => [...of.maps]));
    const width = computed.map((of) => of.width).reduce(together);
    const from = value.inputs[0]!.type.shape[this.#dims.get(value.inputs[0]!) ?? -1];
    const to = value.type.shape[dim];
    const isChanged = value.op === "reshape" && typeof from === "number" && typeof to === "number" && from !== to;
    if (!isChanged) this.#made.set(value, { maps, width });
    else if (to > from) this.#made.set(value, { maps, width: width * (to / from) });
    else {
      const head = together(width, from / to);
      for (const map of maps) this.#widths.set(map, together(this.#widths.get(map)!, head));
      this.#made.set(value, { maps, width: head / (from / to) });
    }
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

  /**
   * Requires that all split operands are split along the same dimension, and that whole operands broadcast along it.
   */
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

/**
 * A split dimension that a reshape divides stays split at the first new dimension. If a reshape merges dimensions, the
 * first merged dimension may be the split one.
 */
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
