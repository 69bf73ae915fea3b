// Attention in ONNX: matmuls over heads, with a mask computed from positions.
import { invariant } from "../../../ground/base/invariant.js";
import type { Value } from "../../../language/check/model/model.js";
import type { Size } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import { pairTensors } from "./pairs.js";
import { cachesOn, operandsOf, refuse, type Keys, type OwnKeys, type Scope, type Scored } from "./scope.js";
import { parentOf, routeAxis, rowsAlong } from "./routes.js";
import { LOWEST } from "./shorthand.js";

/** The mass of a query that sees no key. */
const NO_MASS = -1e30;

/** The number of heads in [B, heads, T, d]; 1 if the dimension is absent. */
function headsOf({ type: { shape }, path }: Value): number {
  const lead = shape.slice(1, -2);
  if (!lead.every((size) => typeof size === "number")) return refuse("attention whose heads are an axis", path);
  return lead.reduce((n, size) => n * size, 1);
}

/**
 * Reshapes heads for grouped attention. Queries become [B, G, R, T, d] or [B, H, T, d]; keys and values have 1 instead
 * of R.
 */
class Heads {
  readonly queries: number;
  readonly keys: number;
  readonly grouped: boolean;

  constructor(
    private readonly cx: Scope,
    { inputs: [q, k] }: Scored,
  ) {
    [this.queries, this.keys] = [headsOf(q!), headsOf(k!)];
    this.grouped = this.queries !== this.keys;
  }

  /** The rank of the scores. */
  get rank(): number {
    return this.grouped ? 5 : 4;
  }

  ofQueries(x: Name, value: Value): Name {
    const group = this.grouped ? [this.keys, this.queries / this.keys] : [this.queries];
    return this.#apart(x, value.type.shape, group, this.cx.axes.size(value.type.shape.at(-2)!));
  }

  ofKeys(x: Name, value: Value): Name {
    const { shape } = value.type;
    return this.#apart(x, shape, this.grouped ? [this.keys, 1] : [this.keys], this.cx.at.dim(x, shape.length - 2));
  }

  /** A value for each pair, [B, T, S] or [B, H, T, S] with heads of queries, in the rank of the scores. */
  ofPairs(x: Name, { type: { shape } }: Value): Name {
    const { at, graph } = this.cx;
    if (shape.length === 3) return at.unsqueeze(x, ...(this.grouped ? [1, 2] : [1]));
    if (!this.grouped) return x;
    if (shape[1] === 1) return at.unsqueeze(x, 2);
    const group = graph.ints(this.keys, this.queries / this.keys);
    return at.reshapeTo(x, at.concat([at.dim(x, 0), group, at.dim(x, 2), at.dim(x, 3)], 0));
  }

  /** Restores the head dimensions to a value's shape. */
  together(x: Name, shape: readonly Size[], last: number): Name {
    const { at, axes } = this.cx;
    return !this.grouped && shape.length === 2 + last ? x : at.reshapeTo(x, axes.dims(shape));
  }

  #apart(x: Name, shape: readonly Size[], heads: readonly number[], rows: Name): Name {
    const { at, axes, graph } = this.cx;
    const lead = shape.slice(1, -2);
    const other = lead.findIndex((size, i) => size !== heads[i]);
    if (other < 0 && lead.length === heads.length) return x;
    if (other < 0 && lead.length + 1 === heads.length && heads.at(-1) === 1) return at.unsqueeze(x, heads.length);
    const dims = [axes.size(shape[0]!), graph.ints(...heads), rows, graph.ints(Number(shape.at(-1)))];
    return at.reshapeTo(x, at.concat(dims, 0));
  }
}

const rowsOf = ({ axes }: Scope, x: Value): string =>
  axes.sequenceOf(x.type.shape.at(-2)) ?? refuse("attention along no sequence", x.path);

/** The keys of the current run; for queries that grow, preceded by the keys of earlier runs. */
function keysOf({ whole, ...here }: Scope, value: Scored): Keys {
  const cx = whole ?? here;
  const ownRows = ownKeys(cx, value);
  const { axis } = ownRows;
  const caches = cachesOn(cx, rowsOf(cx, operandsOf(value).q));
  if (caches?.keeps(axis)) return caches.appended(cx, value, ownRows);
  return { ...ownRows, positions: cx.axes.positions(axis), exists: cx.axes.exists(axis), cached: false };
}

/** If the key weights are a route's mask (1 on the route, 0 elsewhere), only the route's keys are gathered. */
function ownKeys(cx: Scope, value: Scored): OwnKeys {
  const { k, v, weight, mask, bias } = operandsOf(value);
  const axis = rowsOf(cx, k);
  const route = weight === null || mask !== null || bias !== null ? null : routeOfMask(weight);
  if (route === null || parentOf(cx, routeAxis(route)) !== axis) {
    const of = (x: Value | null): Name | null => (x === null ? null : cx.get(x));
    return { axis, keys: cx.get(k), values: of(v), weights: of(weight) };
  }
  const taken = (x: Value): Name => rowsAlong(cx, x, x.type.shape.length - 2, route);
  return { axis: routeAxis(route), keys: taken(k), values: v === null ? null : taken(v), weights: null };
}

/** The route from which the weights were made as a mask; null for other weights. */
function routeOfMask(weights: Value): Value | null {
  let value = weights;
  while (value.op === "straight" || value.op === "stop_gradient" || value.op === "cast") {
    const [inner] = value.inputs;
    if (value.op === "cast" && inner!.type.dtype !== "bool") return null;
    value = inner!;
  }
  return value.op === "mask" ? value.inputs[0]! : null;
}

/** The attention mask [B or 1, Tq, S]; null if each query sees all keys. */
function seenBy(cx: Scope, { attrs }: Scored, axis: string, { positions, exists, weights }: Keys): Name | null {
  const { at, graph } = cx;
  const { causal, window } = attrs;
  const conditions: Name[] = [];
  if (causal || window > 0) {
    const query = at.unsqueeze(cx.axes.positions(axis), 2);
    const key = at.unsqueeze(positions, 1);
    if (causal) conditions.push(graph.node("GreaterOrEqual", [query, key]));
    if (window > 0) {
      const gap = at.sub(query, key);
      conditions.push(at.less(causal ? gap : graph.node("Abs", [gap]), graph.int(window)));
    }
  }
  if (exists !== null) conditions.push(at.unsqueeze(exists, 1));
  if (weights !== null) conditions.push(at.unsqueeze(graph.node("Greater", [weights, graph.float(0)]), 1));
  return conditions.reduce<Name | null>((a, b) => (a === null ? b : at.and(a, b)), null);
}

interface Scores {
  /** [B, …, Tq, S]; the lowest number for keys that a query does not see. */
  readonly scores: Name;
  /** [B or 1, …, Tq, 1]: whether a query sees any key; null if every query does. */
  readonly some: Name | null;
}

function scoresOf(cx: Scope, value: Scored, heads: Heads, given: Keys): Scores {
  const { at, graph } = cx;
  const { q, k } = operandsOf(value);
  const axis = rowsOf(cx, q);
  const width = q.type.shape.at(-1);
  invariant(typeof width === "number", "attention needs a static last dimension");
  const scale = graph.float(value.attrs.scale ?? 1 / Math.sqrt(width));
  const query = heads.ofQueries(at.mul(cx.get(q), scale), q);
  const { rank } = heads;
  const turned = [...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1, rank - 2];
  const { cap, mask, bias } = pairTensors(cx, value, axis, given);
  let scores = at.matmul(query, at.transpose(heads.ofKeys(given.keys, k), turned));
  if (cap !== null) scores = at.mul(graph.node("Tanh", [at.div(scores, graph.float(cap))]), graph.float(cap));
  if (bias !== null) scores = at.add(scores, heads.ofPairs(bias.tensor, bias.value));
  if (given.weights !== null)
    scores = at.add(scores, at.unsqueezedTo(graph.node("Log", [given.weights]), rank - 1, rank));
  const each = seenBy(cx, value, axis, given);
  const ones = Array.from({ length: rank - 3 }, (_, i) => i + 1);
  const ofAll = each === null ? null : at.unsqueeze(each, ...ones);
  const ofPairs = mask === null ? null : heads.ofPairs(mask.tensor, mask.value);
  const seen = ofAll === null || ofPairs === null ? (ofAll ?? ofPairs) : at.and(ofAll, ofPairs);
  if (seen === null) return { scores, some: null };
  const visible = at.where(seen, scores, graph.float(LOWEST));
  // A query sees at least itself if queries and keys share one axis and all keys weigh the same.
  if (axis === given.axis && given.weights === null && ofPairs === null) return { scores: visible, some: null };
  const [known, dim] = ofPairs === null && each !== null ? [each, 2] : [seen, rank - 1];
  const some = graph.node("Greater", [at.reduce("Sum", at.cast(known, "i64"), [dim], true), graph.int(0)]);
  return { scores: visible, some: known === each ? at.unsqueeze(some, ...ones) : some };
}

function attention(cx: Scope, value: Value<"attention"> | Value<"pair_attention">): Name {
  const heads = new Heads(cx, value);
  const keys = keysOf(cx, value);
  invariant(keys.values !== null, "attention has values");
  const { scores, some } = scoresOf(cx, value, heads, keys);
  const shares = cx.graph.node("Softmax", [scores], { axis: -1 });
  let result = cx.at.matmul(shares, heads.ofKeys(keys.values, value.inputs[2]!));
  if (some !== null) result = cx.at.where(some, result, cx.graph.float(0));
  return heads.together(result, value.type.shape, 2);
}

/** A column of the lowest number stands beside the scores, so that a query without keys has a greatest one. */
function mass(cx: Scope, value: Value<"mass">): Name {
  const { at, graph } = cx;
  const heads = new Heads(cx, value);
  const { scores } = scoresOf(cx, value, heads, keysOf(cx, value));
  const dim = heads.rank - 1;
  const none = graph.ints(...Array.from({ length: 2 * heads.rank }, (_, i) => Number(i === 2 * heads.rank - 1)));
  const most = at.reduce("Max", graph.node("Pad", [scores, none, graph.float(LOWEST)]), [dim], true);
  const total = at.reduce("Sum", graph.node("Exp", [at.sub(scores, most)]), [dim], true);
  const seen = graph.node("Greater", [most, graph.float(LOWEST)]);
  const sums = at.where(seen, at.add(graph.node("Log", [total]), most), graph.float(NO_MASS));
  return heads.together(at.squeeze(sums, dim), value.type.shape, 1);
}

/** The attention that each key receives, summed over all queries. */
function received(cx: Scope, value: Value<"received">): Name {
  const { at, graph } = cx;
  const heads = new Heads(cx, value);
  const { scores, some } = scoresOf(cx, value, heads, keysOf(cx, value));
  const shares = graph.node("Softmax", [scores], { axis: -1 });
  const exists = cx.axes.exists(rowsOf(cx, value.inputs[0]!));
  const { rank } = heads;
  let existingShares = some === null ? shares : at.where(some, shares, graph.float(0));
  if (exists !== null)
    existingShares = at.where(at.unsqueezedTo(exists, rank - 2, rank), existingShares, graph.float(0));
  return heads.together(at.reduce("Sum", existingShares, [rank - 2], false), value.type.shape, 1);
}

export const attentionEmitters = { attention, received, pair_attention: attention, mass };
