// Caches of the last loop only. If a token passes through a block several times, the cache has one row of keys and
// values for the token, and every call overwrites the row of the call before. A later token therefore sees the last
// call's row.
import { isOp, typeOf, type Node, type Origin } from "../ir/graph.js";
import { isAttention, keyOperands, type AttentionNode } from "../ops/pairs.js";
import { equalTypes, packedAxis } from "../ir/typing.js";
import { GenerationError } from "./generation-error.js";
import { isRecurrence, type RecurrenceNode } from "./recurrent-states.js";

/**
 * each: every call of a block has a separate cache. last: all calls share a cache, and each call overwrites its rows.
 */
export const LOOP_CACHES = ["each", "last"] as const;
export type LoopCaches = (typeof LOOP_CACHES)[number];

const HINT = "caches of the last loop alone";

export const loopMessage = (origin: Origin | null, reason: string): string =>
  `${HINT}: the keys of ${origin?.path ?? "an attention"} ${reason}`;

/** `layers.0#2.attn` belongs to the third call of `layers.0`. */
const withoutCalls = (path: string): string => path.replaceAll(/#\d+/g, "");
const pathOf = (node: Node): string => node.origin?.path ?? "";

/**
 * For each attention of a block called several times, the name of the cache shared with the same attention in the other
 * calls: the call path without call numbers, plus a number if one call has several.
 * Two attentions are the same if they have the same source span and their keys and values come from the same weights,
 * regardless of the called function.
 * Throws GenerationError if no attention occurs in several calls, or if sharing has no meaning: the first call must
 * have a key for every token of the axis `root`, and each other call must depend on the call before.
 */
export function loopedAttentions(
  nodes: readonly Node[],
  root: string,
  axisOf: (keys: Node) => string,
): ReadonlyMap<AttentionNode, string> {
  const byPath = new Map<string, AttentionNode[]>();
  for (const node of nodes)
    if (isAttention(node) && node.attrs.causal && pathOf(node).includes("#"))
      add(byPath, withoutCalls(pathOf(node)), node);
  // Nodes computed from weights alone. All calls share these nodes, and they carry the path of the first call.
  const ofWeights = new Set<Node>();
  for (const node of nodes)
    if (isOp(node, "weight") || (node.inputs.length > 0 && node.inputs.every((n) => ofWeights.has(n))))
      ofWeights.add(node);
  const looped = [...byPath].flatMap(([path, attentions]) =>
    sameAttentions(attentions, ofWeights)
      .filter((calls) => calls.length > 1)
      .map((calls, i) => ({ calls, name: i === 0 ? path : `${path}.${i}` })),
  );
  if (looped.length === 0 && loopedRecurrences(nodes, root).size === 0)
    throw new GenerationError(
      [...byPath.values()].some((calls) => calls.length > 1)
        ? `${HINT}: no block has the same attention in several calls`
        : `${HINT}: no block with attention is called more than once, nor one with a recurrence`,
      "leave out loopCaches (--loop-caches): it is for models that run layers in loops",
    );
  const order = new Map(nodes.map((node, i) => [node, i]));
  for (const { calls, name } of looped) expectLoop(name, calls, root, { axisOf, order, ofWeights });
  return new Map(looped.flatMap(({ calls, name }) => calls.map((node) => [node, name] as const)));
}

/**
 * For each recurrence of a block called several times, the name of the states shared with the same recurrence in the
 * other calls. As with rows, each call continues the states that earlier runs left, and the last call's are kept.
 * Throws GenerationError if a call leaves out tokens or does not depend on the call before.
 */
export function loopedRecurrences(nodes: readonly Node[], root: string): ReadonlyMap<RecurrenceNode, string> {
  const groups = new Map<string, RecurrenceNode[]>();
  const within = new Map<string, number>();
  for (const node of nodes) {
    if (!isRecurrence(node) || !pathOf(node).includes("#")) continue;
    const kind = JSON.stringify([node.op, node.origin?.span]);
    const inCall = `${pathOf(node)} ${kind}`;
    const index = within.get(inCall) ?? 0;
    within.set(inCall, index + 1);
    add(groups, `${withoutCalls(pathOf(node))} ${kind} ${index}`, node);
  }
  const order = new Map(nodes.map((node, i) => [node, i]));
  const names = new Map<RecurrenceNode, string>();
  for (const calls of [...groups.values()].filter(({ length }) => length > 1)) {
    const first = calls[0]!;
    const path = withoutCalls(pathOf(first));
    if (calls.some((node) => axisOfRows(node) !== root))
      throw new GenerationError(`${HINT}: a call leaves tokens out of the ${first.op} of ${path}`);
    if (calls.some((call, i) => i > 0 && !follows(call, calls[i - 1]!, order)))
      throw new GenerationError(`${HINT}: the calls of ${path} are not computed one after the other`);
    if (calls.some((node) => !equalTypes(typeOf(node), typeOf(first))))
      throw new GenerationError(`${HINT}: the ${first.op} of ${path} has not the same shape in all calls`);
    const name = `${path}.loops.${names.size}`;
    for (const node of calls) names.set(node, name);
  }
  return names;
}

/** The axis of the rows of a recurrence. */
const axisOfRows = (node: RecurrenceNode): string | null =>
  packedAxis(typeOf(node).shape[isOp(node, "linear_attention") ? 1 : node.attrs.dim]!);

function add<T>(groups: Map<string, T[]>, key: string, item: T): void {
  groups.set(key, [...(groups.get(key) ?? []), item]);
}

/**
 * Groups the attentions of a block: each group holds the same attention in different calls, in order of computation.
 */
function sameAttentions(
  attentions: readonly AttentionNode[],
  ofWeights: ReadonlySet<Node>,
): readonly (readonly AttentionNode[])[] {
  const groups = new Map<string, AttentionNode[]>();
  const within = new Map<string, number>();
  for (const node of attentions) {
    const weights = rowsFrom(node, ofWeights);
    const kind = JSON.stringify([node.origin?.span, ...weights]);
    const inCall = `${pathOf(node)} ${kind}`;
    const index = within.get(inCall) ?? 0;
    within.set(inCall, index + 1);
    const key = `${index} ${kind}`;
    add(groups, key, node);
  }
  return [...groups.values()];
}

/**
 * The weight paths of keys and of values: weights inside the call, else the nearest weights outside; null if unknown.
 */
const rowsFrom = (node: AttentionNode, ofWeights: ReadonlySet<Node>): readonly (readonly string[] | null)[] =>
  node.inputs.slice(1, 3).map((x) => {
    const weights = weightsBehind(node, x, ofWeights);
    return weights.length > 0 ? weights : nearestWeights(x, ofWeights);
  });

/** Weight paths of the last layer before `x`; null if `x` has several computed operands, such as a sum. */
function nearestWeights(x: Node, ofWeights: ReadonlySet<Node>): readonly string[] | null {
  for (let node = x; ;) {
    const weights = node.inputs.filter((n) => ofWeights.has(n));
    if (weights.length > 0) return pathsOf(weights);
    const [before, ...others] = node.inputs.filter((n) => n.inputs.length > 0 && typeOf(n).dtype === "f32");
    if (!before || others.length > 0) return null;
    node = before;
  }
}

/** Paths of the weights of nodes that are computed from weights alone. */
function pathsOf(nodes: readonly Node[]): readonly string[] {
  const seen = new Set<Node>();
  const open = [...nodes];
  for (let node = open.pop(); node; node = open.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    open.push(...node.inputs);
  }
  return [...seen].flatMap((node) => (isOp(node, "weight") ? [node.attrs.path] : [])).sort();
}

/** Weight paths from which an attention's call computes `x`. The search stops at nodes of other blocks. */
function weightsBehind(attention: Node, x: Node, ofWeights: ReadonlySet<Node>): readonly string[] {
  const path = pathOf(attention);
  const seen = new Set<Node>();
  const open = [x];
  const weights: Node[] = [];
  for (let node = open.pop(); node; node = open.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (ofWeights.has(node)) weights.push(node);
    else if (pathOf(node) === path || pathOf(node).startsWith(`${path}.`)) open.push(...node.inputs);
  }
  return pathsOf(weights);
}

interface Computation {
  readonly axisOf: (keys: Node) => string;
  /** The index of each node in the order of computation. */
  readonly order: ReadonlyMap<Node, number>;
  /** Nodes computed from weights alone. */
  readonly ofWeights: ReadonlySet<Node>;
}

function expectLoop(
  name: string,
  calls: readonly AttentionNode[],
  root: string,
  { axisOf, order, ofWeights }: Computation,
): void {
  const [first] = calls as readonly [AttentionNode];
  if (axisOf(first.inputs[1]) !== root)
    throw new GenerationError(`${HINT}: the first call of ${name} has no keys of tokens that a route leaves out`);
  if (calls.some((node) => keyOperands(node).length > 0))
    throw new GenerationError(
      `${HINT}: the keys of ${name} have weights, or values that a mask or bias reads, which later calls would change`,
    );
  if (rowsFrom(first, ofWeights).includes(null))
    throw new GenerationError(`${HINT}: the keys or values of ${name} come from outside its calls, of no one layer`);
  if (calls.some((node) => rowsOf(node) !== rowsOf(first)))
    throw new GenerationError(`${HINT}: the keys and values of ${name} have not the same shape in all calls`);
  if (calls.some((call, i) => i > 0 && !follows(call, calls[i - 1]!, order)))
    throw new GenerationError(`${HINT}: the calls of ${name} are not computed one after the other`);
}

/** The dtype, heads and width of the key and value rows, as text. */
function rowsOf({ inputs }: AttentionNode): string {
  const types = inputs.slice(1, 3).map((x) => typeOf(x));
  return JSON.stringify(types.map(({ dtype, shape: [heads, , width] }) => [dtype, heads, width]));
}

/** Whether a node depends on another node. */
function follows(node: Node, before: Node, order: ReadonlyMap<Node, number>): boolean {
  const seen = new Set<Node>();
  const open = [node];
  for (let at = open.pop(); at; at = open.pop()) {
    if (at === before) return true;
    if (seen.has(at) || order.get(at)! < order.get(before)!) continue;
    seen.add(at);
    open.push(...at.inputs);
  }
  return false;
}
