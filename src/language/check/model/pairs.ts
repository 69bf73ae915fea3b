// Values of pairs of tokens: what an attention's mask or bias is for a query and a key, as an expression of values that
// lie on the axis of the queries, on the axis of the keys, or on none.
import { equalSizes } from "../../../ground/size/size.js";
import type { Value } from "./model.js";
import { isOp } from "./types.js";

/** What a dimension of a value stands for in an attention; `none`: its extent is 1. */
export type PairRole = "batch" | "head" | "query" | "key" | "none";

/** A value whose dimensions have these roles. */
export interface RoledValue {
  readonly value: Value;
  readonly roles: readonly PairRole[];
}

/**
 * The value of a pair.
 * - `computed`: an element-by-element operation;
 * - `lookup`: an element of a table [R] or [R, H] at an index that is the value of a pair;
 * - `number`: a number known when compiling; `position`: the position of the query or of the key;
 * - `rows`: an element on the axis of queries or keys; `shared`: an element on neither axis;
 * - `stored`: an element of a tensor with both axes, which is in memory.
 */
export type PairPart =
  | { readonly kind: "computed"; readonly value: PairOperation; readonly parts: readonly PairPart[] }
  | { readonly kind: "lookup"; readonly table: Value; readonly perHead: boolean; readonly index: PairPart }
  | { readonly kind: "number"; readonly value: Value<"number"> }
  | { readonly kind: "position"; readonly of: "query" | "key"; readonly value: Value }
  | ({ readonly kind: "rows"; readonly of: "query" | "key" } & RoledValue)
  | ({ readonly kind: "shared" } & RoledValue)
  | ({ readonly kind: "stored" } & RoledValue);

export type PairOperation = Value<"pointwise"> | Value<"powi"> | Value<"cast"> | Value<"stop_gradient">;

/** The names of the axes of an attention's queries and keys. */
export interface PairAxes {
  readonly query: string;
  readonly key: string;
}

/** The most rows of a table that pairs look up; a longer one is looked up in memory, pair by pair. */
export const MOST_TABLE_ROWS = 4096;

/** An operation with the scores of an attention. */
export type Attending = Value<"attention"> | Value<"pair_attention"> | Value<"mass">;

/** The inputs of an attention or `mass` by their names. */
export interface PairInputs {
  readonly weight: Value | null;
  readonly mask: Value | null;
  readonly bias: Value | null;
  /** q, k and, of an attention, v. */
  readonly rows: readonly Value[];
}

export function pairInputs({ op, inputs, attrs }: Attending): PairInputs {
  const count = op === "mass" ? 2 : 3;
  const rest = inputs.slice(count);
  const given = "cap" in attrs ? attrs : { weight: rest.length > 0, mask: false, bias: false };
  const next = (is: boolean): Value | null => (is ? (rest.shift() ?? null) : null);
  return { rows: inputs.slice(0, count), weight: next(given.weight), mask: next(given.mask), bias: next(given.bias) };
}

/** The parts of a mask or bias [B, T, S] or [B, H, T, S]. Equal parts are one object. */
export function pairPart(value: Value, axes: PairAxes): PairPart {
  const roles: readonly PairRole[] =
    value.type.shape.length === 3 ? ["batch", "query", "key"] : ["batch", "head", "query", "key"];
  return new Parts(axes).of(value, roles);
}

/** The values that the parts read, without those that only combine others. */
export function leavesOf(part: PairPart, found = new Set<Value>(), seen = new Set<PairPart>()): ReadonlySet<Value> {
  if (seen.has(part)) return found;
  seen.add(part);
  if (part.kind === "computed") for (const p of part.parts) leavesOf(p, found, seen);
  else if (part.kind === "lookup") {
    found.add(part.table);
    leavesOf(part.index, found, seen);
  } else if (part.kind === "rows" || part.kind === "shared" || part.kind === "stored") found.add(part.value);
  return found;
}

class Parts {
  readonly #axes: PairAxes;
  readonly #known = new Map<string, PairPart>();

  constructor(axes: PairAxes) {
    this.#axes = axes;
  }

  /** `roles` has an entry for each dimension of the value; a dimension of extent 1 counts as `none`. */
  of(value: Value, given: readonly PairRole[]): PairPart {
    const roles = given.map((role, d): PairRole => (value.type.shape[d] === 1 ? "none" : role));
    const key = `${value.id}:${roles.join()}`;
    let part = this.#known.get(key);
    if (!part) this.#known.set(key, (part = this.#made(value, roles)));
    return part;
  }

  #made(value: Value, roles: readonly PairRole[]): PairPart {
    if (isOp(value, "number")) return { kind: "number", value };
    const [onQuery, onKey] = [roles.includes("query"), roles.includes("key")];
    if (onQuery && onKey) return this.#computed(value, roles) ?? { kind: "stored", value, roles };
    if (!onQuery && !onKey) return { kind: "shared", value, roles };
    const of = onQuery ? "query" : "key";
    const position = positionBehind(value);
    return position?.attrs.axis === this.#axes[of]
      ? { kind: "position", of, value }
      : { kind: "rows", of, value, roles };
  }

  #computed(value: Value, roles: readonly PairRole[]): PairPart | null {
    if (isOp(value, "pointwise") || isOp(value, "powi") || isOp(value, "cast") || isOp(value, "stop_gradient"))
      return { kind: "computed", value, parts: value.inputs.map((x) => this.of(x, lastOf(roles, rankOf(x)))) };
    if (isOp(value, "permute")) return this.#permuted(value, roles);
    if (isOp(value, "reshape")) return this.#reshaped(value, roles);
    return isOp(value, "gather") ? this.#lookedUp(value, roles) : null;
  }

  #permuted({ inputs, attrs: { order } }: Value<"permute">, roles: readonly PairRole[]): PairPart {
    const before: PairRole[] = roles.map(() => "none");
    order.forEach((from, to) => (before[from] = roles[to] ?? "none"));
    return this.of(inputs[0]!, before);
  }

  /** A reshape that only adds or drops dimensions of extent 1; null for another. */
  #reshaped({ inputs, type }: Value<"reshape">, roles: readonly PairRole[]): PairPart | null {
    const [x] = inputs;
    const kept = type.shape.flatMap((size, d) => (size === 1 ? [] : [{ size, role: roles[d] ?? "none" }]));
    const before: PairRole[] = [];
    for (const size of x!.type.shape) {
      if (size === 1) before.push("none");
      else {
        const next = kept.shift();
        if (!next || !equalSizes(next.size, size)) return null;
        before.push(next.role);
      }
    }
    return kept.length === 0 ? this.of(x!, before) : null;
  }

  /** table[index] where a table [R] or [R, H] fits the roles; null for another. */
  #lookedUp({ inputs: [table, index] }: Value<"gather">, roles: readonly PairRole[]): PairPart | null {
    const [rows, ...rest] = table!.type.shape;
    if (typeof rows !== "number" || rows > MOST_TABLE_ROWS) return null;
    const rank = rankOf(index!);
    const behind = rest.map((size, d): PairRole => (size === 1 ? "none" : (roles[rank + d] ?? "none")));
    if (behind.filter((role) => role !== "none").length > 1 || behind.some((r) => r !== "none" && r !== "head"))
      return null;
    const part = this.of(index!, roles.slice(0, rank));
    return { kind: "lookup", table: table!, perHead: behind.includes("head"), index: part };
  }
}

const lastOf = (roles: readonly PairRole[], count: number): readonly PairRole[] => roles.slice(roles.length - count);
const rankOf = (value: Value): number => value.type.shape.length;

/** The `position` of which a value is a reshape or a slice without effect. */
function positionBehind(value: Value): Value<"position"> | null {
  let at = value;
  while (isOp(at, "reshape")) at = at.inputs[0]!;
  return isOp(at, "position") ? at : null;
}
