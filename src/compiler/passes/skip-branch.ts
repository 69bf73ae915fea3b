// Skips the rows outside a route: they are neither computed, read nor written, and the stream is updated in place.
import { isOp, isScatter, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import { withKeysOfMasks } from "../lower/keys-of-masks.js";
import { isFloat } from "../../ground/base/dtype.js";
import { chosenRows } from "./chosen-rows.js";
import { callerReads } from "./readers.js";
import { scatteredRules } from "./scattered.js";
import { any, commuted, mapGraph, of, op, rewrite, rule, type Rule, type Trace, type Emit } from "./rewrite.js";
import { rowsSize } from "../../ground/size/size.js";

const [x, r, u, y] = [any("x"), any("r"), any("u"), any("y")];
const zeros = of("constant", "zeros");

const sameShape = (a: Node, b: Node): boolean => equalShapes(typeOf(a).shape, typeOf(b).shape);
const isZero = (c: Node<"constant">): boolean => c.attrs.value === 0;
/**
 * Whether a value is in the memory of a state, possibly after scatters into it. All readers of the value come before
 * the next scatter.
 */
const isInState = (value: Node): boolean => {
  let at = value;
  while (isScatter(at)) at = at.inputs[0];
  return isOp(at, "state");
};
const sameDim = (a: Node<"put" | "set" | "take">, b: Node<"put" | "set" | "take">): boolean =>
  a.attrs.dim === b.attrs.dim;

/**
 * The rules, in the order in which they are tried at a node. Chosen rows keep every bit. Skipped rows keep their old
 * value; arithmetic masking would turn −0 into 0 (−0 + 0) and yield NaN for an infinite update (0 · ∞).
 */
export const skipRules: readonly Rule[] = [
  ...scatteredRules,
  // x + (u at the rows r, 0 elsewhere)
  ...(["put", "set"] as const).map((kind) =>
    rule(`add-of-${kind}`, {
      match: commuted("add", x, op(kind, [zeros, r, u], "rows")),
      when: ({ x, zeros, rows }, root) => isZero(zeros) && sameShape(x, root) && sameShape(rows, root),
      build: ({ x, r, u, rows }, emit) => emit("put", [x, r, u], { dim: rows.attrs.dim }),
    }),
  ),
  rule("set-of-sum", {
    match: op("set", [x, r, commuted("add", op("take", [x, r], "taken"), u)]),
    when: ({ u, taken }, root) => sameDim(taken, root) && sameShape(u, root.inputs[2]),
    build: ({ x, r, u }, emit, root) => emit("put", [x, r, u], { dim: root.attrs.dim }),
  }),
  rule("take-of-put", {
    match: op("take", [op("put", [x, r, u], "put"), r]),
    when: ({ put }, root) => sameDim(put, root),
    build: ({ x, r, u }, emit, root) => emit("add", [emit("take", [x, r], root.attrs), u], {}),
  }),
  rule("take-of-set", {
    match: op("take", [op("set", [x, r, y], "set"), r]),
    when: ({ set }, root) => sameDim(set, root),
    build: ({ y }) => y,
  }),
  ...(["put", "set"] as const).map((kind) =>
    rule(`set-of-${kind}`, {
      match: op("set", [op(kind, [x, r, u], "inner"), r, y]),
      when: ({ inner }, root) => sameDim(inner, root) && !isInState(inner),
      build: ({ x, r, y }, emit, root) => emit("set", [x, r, y], root.attrs),
    }),
  ),
  {
    name: "where-of-mask",
    at: ["where"],
    // y at the rows of a route, x elsewhere
    rewrite(root, emit) {
      const [mask, a, b] = root.inputs;
      const { shape, dtype } = typeOf(root);
      const route = maskOf(mask, shape.length);
      if (!route) return null;
      const [y, x] = route.inverted ? [b, a] : [a, b];
      const rest = sameShape(x, root) ? x : isOp(x, "constant") ? emit("constant", [], { ...x.attrs, shape }) : null;
      const rows = rest && chosenRowsOf(y, root, route, emit);
      return rows && typeOf(rows).dtype === dtype ? emit("set", [rest, route.index, rows], { dim: route.dim }) : null;
    },
  },
  {
    name: "add-of-masked",
    at: ["add"],
    // x + mask · u
    rewrite(root, emit) {
      if (!isFloat(typeOf(root).dtype)) return null;
      const [a, b] = root.inputs;
      for (const [x, update] of [
        [a, b],
        [b, a],
      ] as const) {
        const mask = sameShape(x, root) && sameShape(update, root) ? unmasked(update, emit) : null;
        const rows = mask && chosenRowsOf(mask.value, root, mask, emit);
        if (rows) return emit("put", [x, mask.index, rows], { dim: mask.dim });
      }
      return null;
    },
  },
];

/**
 * The limit on rounds: enough for successive blocks of one route within a block of another route, but for no deeper
 * nesting.
 */
const MAX_ROUNDS = 4;

export function skipBranch(graph: Graph, trace: Trace | null): Graph {
  // A graph without these operators has nothing to skip.
  const isRouted = (node: Node): boolean => isOp(node, "take") || isScatter(node) || isOp(node, "route_mask");
  if (!nodesOf(graph).some(isRouted)) return graph;
  let current = withKeysOfMasks(graph, (before, after) => trace?.("keys-of-mask", before, after));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = oneScatter(chosenRows(rewrite(current, skipRules, trace), trace), trace);
    if (next === current) break;
    current = next;
  }
  return current;
}

/**
 * put(put(x, r, u), r, v) → set(x, r, take(x, r) + u + v), summed in the same order, if nothing else reads the inner
 * put: the rows are written once.
 */
function oneScatter(graph: Graph, trace: Trace | null): Graph {
  const readers = new Map<Node, number>();
  const nodes = nodesOf(graph);
  for (const node of nodes) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  const stored = callerReads(graph);
  const once = (before: Node): boolean => {
    const inner = before.inputs[0];
    return (
      isOp(before, "put") &&
      isScatter(inner) &&
      readers.get(inner) === 1 &&
      !stored.has(inner) &&
      inner.inputs[1] === before.inputs[1] &&
      sameDim(inner, before)
    );
  };
  if (!nodes.some(once)) return graph;
  return mapGraph(graph, (node, emitFrom, before) => {
    const inner = node.inputs[0];
    if (!inner || !once(before) || !isScatter(inner)) return node;
    const emit = emitFrom(node);
    const [x, r, u] = inner.inputs;
    const rows = isOp(inner, "put") ? emit("add", [emit("take", [x, r], inner.attrs), u], {}) : u;
    const result = emit("set", [x, r, emit("add", [rows, node.inputs[2]], {})], inner.attrs);
    trace?.("put-of-put", node, result);
    return result;
  });
}

/** A route's mask over a tensor: the route's index, and the tensor's dimension along which the mask varies. */
interface MaskedRows {
  readonly index: Node;
  readonly dim: number;
}

/**
 * The route whose mask the node is, in any shape, as booleans or as zeros and ones, next to a tensor of `rank`
 * dimensions; null if the node is not a mask. `inverted`: the mask of the rows outside the route.
 */
function maskOf(node: Node, rank: number): (MaskedRows & { readonly inverted: boolean }) | null {
  let mask = node;
  let inverted = false;
  while (
    isOp(mask, "reshape") ||
    isOp(mask, "broadcast") ||
    isOp(mask, "not") ||
    (isOp(mask, "cast") && fromBool(mask))
  ) {
    inverted = inverted !== isOp(mask, "not");
    mask = mask.inputs[0]!;
  }
  if (!isOp(mask, "route_mask")) return null;
  const { shape } = typeOf(node);
  const packed = shape.flatMap((s, d) => (packedAxis(s) === null ? [] : [d]));
  return packed.length === 1 ? { index: mask.inputs[0], dim: packed[0]! - shape.length + rank, inverted } : null;
}

const fromBool = (cast: Node): boolean => typeOf(cast.inputs[0]).dtype === "bool";

/** The limit on the examined factors of a product. */
const MAX_FACTORS = 8;

/**
 * If the node is a product with a mask among its factors: the product without the mask, and the route. At rows of the
 * route the two are equal; at other rows the node is 0, or NaN if another factor is infinite.
 */
function unmasked(node: Node, emit: Emit): (MaskedRows & { readonly value: Node }) | null {
  const rank = typeOf(node).shape.length;
  const withoutMask = (at: Node, depth: number): (MaskedRows & { readonly value: Node }) | null => {
    if (!isOp(at, "mul") || depth > MAX_FACTORS) return null;
    const [a, b] = at.inputs;
    for (const [factor, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const mask = maskOf(factor, rank);
      if (mask && !mask.inverted) return { ...mask, value: other };
      const inner = withoutMask(factor, depth + 1);
      if (inner) return { ...inner, value: emit("mul", factor === a ? [inner.value, b] : [a, inner.value], {}) };
    }
    return null;
  };
  return withoutMask(node, 0);
}

/**
 * The chosen rows of a value that broadcasts to the shape of `whole`; null if the value's shape does not permit the
 * choice.
 */
function chosenRowsOf(value: Node, whole: Node, { index, dim }: MaskedRows, emit: Emit): Node | null {
  const { shape } = typeOf(whole);
  const valueDim = dim - shape.length + typeOf(value).shape.length;
  const axis = packedAxis(typeOf(index).shape[0]!);
  if (axis === null || packedAxis(shape[dim]!) === null) return null;
  const rows =
    valueDim >= 0 && packedAxis(typeOf(value).shape[valueDim]!) !== null
      ? emit("take", [value, index], { dim: valueDim })
      : value;
  const to = shape.with(dim, rowsSize(axis));
  return equalShapes(typeOf(rows).shape, to) ? rows : emit("broadcast", [rows], { shape: to });
}
