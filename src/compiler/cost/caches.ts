// What the caches of generation hold: keys and values, values of pairs that lie on keys, values of given inputs, and
// states of recurrences.
import type { Span } from "../../language/diagnostics/span.js";
import { isOp, isScatter, isView, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { packedAxis, plainAxis } from "../ir/typing.js";
import { GIVEN, keptOfGiven } from "../lower/given.js";
import { isRecurrence, keptBy, keptShifts } from "../lower/recurrent-states.js";
import { isAttention, keyOperands } from "../ops/pairs.js";
import { partOfKeys } from "../ops/part-of-keys.js";
import { tokenAxisOf } from "./token-axis.js";
import { SEQUENCES, SLOTS } from "../../runtime/program/axes-of-generation.js";
import { axisSize, multiplySizes, type Size } from "../../ground/size/size.js";

/**
 * `keys`: keys and values. `pairs`: masses of keys, and what masks and biases read of keys. `given`: values that are
 * computed of given inputs alone and kept, such as the keys and values of cross-attention. `states`: of recurrences,
 * which have a fixed size for each sequence.
 */
export const CACHE_PARTS = ["keys", "pairs", "given", "states"] as const;
export type CachePart = (typeof CACHE_PARTS)[number];

export interface CachedValues {
  readonly path: string;
  readonly span: Span | null;
  readonly part: CachePart;
  /** The number of values. */
  readonly values: Size;
  /** The number of values of a token; of a sequence if `part` is `states`; of a row of the input if it is `given`. */
  readonly each: Size;
}

/** Bytes of each part, and its bytes for a token that takes every layer, or for a sequence if the part is `states`. */
export type CacheParts = { readonly [P in CachePart]: { readonly bytes: number; readonly each: number } };

/** The sums by part. `bytesOf`: the bytes of so many values. */
export function cacheParts<V extends Pick<CachedValues, "part" | "values" | "each">>(
  cached: readonly V[],
  bytesOf: (values: Size, of: V) => number,
): CacheParts {
  const sum = (part: CachePart): CacheParts[CachePart] => {
    const own = cached.filter((values) => values.part === part);
    const total = (size: (values: V) => Size): number => own.reduce((n, v) => n + bytesOf(size(v), v), 0);
    return { bytes: total((v) => v.values), each: total((v) => v.each) };
  };
  return { keys: sum("keys"), pairs: sum("pairs"), given: sum("given"), states: sum("states") };
}

/** The contents of the caches: the states of a graph that generates, or the values that generation would keep. */
export function cachedValues(graph: Graph, nodes: readonly Node[] = nodesOf(graph)): readonly CachedValues[] {
  const origins = new Map(nodes.flatMap((node) => (isOp(node, "state") ? [[node.attrs.name, node.origin]] : [])));
  const own = graph.states.flatMap(({ name, type: { shape } }) =>
    cachedInState(name, shape).map((found) => ({ ...found, ...placeOf(origins.get(name) ?? null) })),
  );
  if (own.length > 0) return own;
  const ofTokens = [...cachedRows(nodes), ...recurrentStates(graph, nodes)];
  return ofTokens.length === 0 ? [] : [...ofTokens, ...ofGiven(graph)];
}

const placeOf = (origin: Node["origin"]): Pick<CachedValues, "path" | "span"> => ({
  path: origin?.path ?? "",
  span: origin?.span ?? null,
});

/** What a state of generation holds, by its name and shape: one part, or none if it is no cache. */
export function cachedInState(
  name: string,
  shape: readonly Size[],
): readonly Pick<CachedValues, "part" | "values" | "each">[] {
  const [rows, ...dims] = shape;
  if (name.startsWith(GIVEN)) return [givenPart(shape)];
  if (!name.startsWith("cache.") || rows === undefined) return [];
  const part: CachePart | null = isOfSequences(rows)
    ? "states"
    : /\.(keys|values)$/.test(name)
      ? "keys"
      : /\.(weights|operand\d+)$/.test(name)
        ? "pairs"
        : null;
  return part === null ? [] : [{ part, values: product(shape), each: product(dims) }];
}

const product = (shape: readonly Size[]): Size => shape.reduce<Size>((all, dim) => multiplySizes(all, dim), 1);

/** A value of given inputs. */
const givenPart = (shape: readonly Size[]): Pick<CachedValues, "part" | "values" | "each"> => ({
  part: "given",
  values: product(shape),
  each: product(shape.filter((dim) => packedAxis(dim) === null && plainAxis(dim) === null)),
});

/** What generation would keep of given inputs, if the result is along the axis of tokens. */
function ofGiven(graph: Graph): readonly CachedValues[] {
  const root = tokenAxisOf(graph);
  if (root === null || graph.outputs[0]?.packing?.axis !== root) return [];
  return keptOfGiven(graph, root).map((node) => ({ ...givenPart(typeOf(node).shape), ...placeOf(node.origin) }));
}

/** Whether a state has a row for each sequence, and none for each token. */
const isOfSequences = (size: Size): boolean => packedAxis(size) === SEQUENCES || plainAxis(size) === SLOTS;

/**
 * Keys, values, key weights and operands of pairs that causal attention reads. Each value counts once even if several
 * nodes read it, and values that are a part of their keys do not count.
 */
function* cachedRows(nodes: readonly Node[]): Generator<CachedValues> {
  const seen = new Set<Node>();
  for (const node of nodes) {
    if (!isAttention(node) || !node.attrs.causal) continue;
    const values = partOfKeys(node) ? [] : [node.inputs[2]];
    const rows = [node.inputs[1], ...values];
    for (const operand of [...rows, ...keyOperands(node)]) {
      const memory = memoryOf(operand);
      if (seen.has(memory)) continue;
      seen.add(memory);
      const { shape } = typeOf(operand);
      yield {
        ...placeOf(node.origin),
        part: rows.includes(operand) ? "keys" : "pairs",
        values: product(shape),
        each: product(shape.filter((dim) => packedAxis(dim) === null)),
      };
    }
  }
}

/** The value whose memory a value shares through views and scatters. */
function memoryOf(value: Node): Node {
  let at = value;
  while (isView(at) || isScatter(at)) at = at.inputs[0]!;
  return isOp(at, "state") ? at : value;
}

function* recurrentStates(graph: Graph, nodes: readonly Node[]): Generator<CachedValues> {
  const batch = graph.axes.find(({ role }) => role === "batch");
  if (!batch) return;
  const shifts = keptShifts(nodes);
  for (const node of nodes) {
    if (!isRecurrence(node)) continue;
    const { first = node, most = 1 } = shifts.get(node) ?? {};
    if (first !== node) continue;
    const each = multiplySizes(most, keptBy(node));
    yield { ...placeOf(node.origin), part: "states", values: multiplySizes(axisSize(batch.name), each), each };
  }
}
