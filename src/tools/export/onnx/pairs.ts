// What attention reads for each query and key: cap, mask and bias. Without caches a mask is a tensor as any other; with
// caches it is computed from its values of the queries and the cached ones of the keys.
import type { Value } from "../../../language/check/model/model.js";
import { pairPart, type PairPart, type PairRole, type RoledValue } from "../../../language/check/model/pairs.js";
import { isOp } from "../../../language/check/model/types.js";
import { elementwiseEmitters } from "./elementwise.js";
import type { Name } from "./graph.js";
import { operandsOf, refuse, rounded, scalar, type Keys, type Scope, type Scored } from "./scope.js";
import { gatherAt } from "./shapes.js";

interface PairTensor {
  /** [B, T, S] or [B, H, T, S], where a dimension may be 1. */
  readonly tensor: Name;
  readonly value: Value;
}

export interface PairTensors {
  readonly cap: number | null;
  readonly mask: PairTensor | null;
  readonly bias: PairTensor | null;
}

/** `axis`: the axis of the queries. */
export function pairTensors(cx: Scope, value: Scored, axis: string, keys: Keys): PairTensors {
  const { mask, bias } = operandsOf(value);
  const cap = "cap" in value.attrs ? value.attrs.cap : null;
  const tensorOf = (of: Value | null): PairTensor | null => {
    if (of === null) return null;
    if (!keys.cached) return { tensor: cx.get(of), value: of };
    const four = new CachedPairs(cx, axis, keys).of(pairPart(of, { query: axis, key: keys.axis }));
    return { tensor: of.type.shape.length === 3 ? cx.at.squeeze(four, 1) : four, value: of };
  };
  return { cap, mask: tensorOf(mask), bias: tensorOf(bias) };
}

const ROLES: readonly PairRole[] = ["batch", "head", "query", "key"];

/** Computes pairs [B, H, Tq, S], in which dimensions may be 1, with the rows of all keys so far. */
class CachedPairs {
  readonly #known = new Map<PairPart, Name>();

  constructor(
    private readonly cx: Scope,
    private readonly axis: string,
    private readonly keys: Keys,
  ) {}

  of(part: PairPart): Name {
    let name = this.#known.get(part);
    if (name === undefined) this.#known.set(part, (name = this.#made(part)));
    return name;
  }

  #made(part: PairPart): Name {
    const { cx } = this;
    const { at, graph } = cx;
    switch (part.kind) {
      case "number":
        return graph.node("Reshape", [
          scalar(cx, part.value.attrs.value, part.value.type.dtype),
          graph.ints(1, 1, 1, 1),
        ]);
      case "position":
        return part.of === "query"
          ? at.unsqueeze(cx.axes.positions(this.axis), 1, 3)
          : at.unsqueeze(this.keys.positions, 1, 2);
      case "rows":
        return this.#placed(part, part.of === "query" ? cx.get(part.value) : this.#rowsOfKeys(part.value));
      case "shared":
        return this.#placed(part, cx.get(part.value));
      case "stored":
        return refuse("a mask or bias that is a tensor in memory, while generating,", part.value.path);
      case "lookup":
        return this.#lookedUp(part);
      case "computed":
        return this.#computed(part);
      default:
        return part satisfies never;
    }
  }

  #rowsOfKeys(value: Value): Name {
    const { caches } = this.cx;
    return caches === null ? this.cx.get(value) : caches.rowsOfPairs(this.cx, value, this.keys.axis);
  }

  /** Brings the dimensions of a value into the order of ROLES. */
  #placed({ roles }: RoledValue, x: Name): Name {
    const { at } = this.cx;
    const none = roles.flatMap((role, d) => (role === "none" ? [d] : []));
    const named: readonly PairRole[] = roles.filter((role) => role !== "none");
    const order = ROLES.flatMap((role) => (named.includes(role) ? [named.indexOf(role)] : []));
    const turned = at.transpose(none.length === 0 ? x : at.squeeze(x, ...none), order);
    const absent = ROLES.flatMap((role, d) => (named.includes(role) ? [] : [d]));
    return absent.length === 0 ? turned : at.unsqueeze(turned, ...absent);
  }

  #lookedUp({ table, perHead, index }: PairPart & { readonly kind: "lookup" }): Name {
    const { cx } = this;
    const { at } = cx;
    const [rows, ...rest] = table.type.shape.map(Number);
    const columns = perHead ? rest.filter((size) => size !== 1) : [];
    const entries = rest.length === columns.length ? cx.get(table) : at.reshape(cx.get(table), rows!, ...columns);
    const found = gatherAt(cx, entries, this.of(index), table.type.shape[0]!, true);
    // [B, 1, T, S, H]
    return perHead ? at.transpose(at.squeeze(found, 1), [0, 3, 1, 2]) : found;
  }

  #computed({ value, parts }: PairPart & { readonly kind: "computed" }): Name {
    const { cx } = this;
    const names = new Map(value.inputs.map((input, i) => [input, this.of(parts[i]!)]));
    const within: Scope = { ...cx, get: (input) => names.get(input) ?? cx.get(input) };
    const made = emitted(within, value);
    return value.type.dtype === "f16" ? rounded(cx, made) : made;
  }
}

function emitted(cx: Scope, value: (PairPart & { readonly kind: "computed" })["value"]): Name {
  if (isOp(value, "pointwise")) return elementwiseEmitters.pointwise(cx, value);
  if (isOp(value, "cast")) return elementwiseEmitters.cast(cx, value);
  if (isOp(value, "stop_gradient")) return elementwiseEmitters.stop_gradient(cx, value);
  if (isOp(value, "powi"))
    return value.attrs.exponent === 0 ? scalar(cx, 1, value.type.dtype) : elementwiseEmitters.powi(cx, value);
  return value satisfies never;
}
