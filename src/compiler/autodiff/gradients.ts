// Reverse-mode differentiation of a graph, with the gradient rule of each operator's record.
import { invariant, bug } from "../../ground/base/invariant.js";
import { createEmit, type Emit } from "../ir/build.js";
import {
  isOp,
  nodesReaching,
  typeOf,
  isScatter,
  nodesOf,
  type Node,
  type Graph,
  type GraphOutput,
} from "../ir/graph.js";
import { equalTypes, printType } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import { Rematerialization, type Recompute } from "./rematerialization.js";
import type { EmitGrad } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { isFloat, type DType } from "../../ground/base/dtype.js";
import { reachedStarts } from "../ir/reach.js";
import type { TensorType } from "../ir/types.js";

export interface GradientOptions {
  /** Layers whose results are recomputed in the backward pass rather than stored. */
  readonly recompute?: Recompute;
}

/**
 * The gradient of the loss (of the sum of its elements) with respect to each leaf, with the leaf's type; no entry for a
 * leaf on which the loss does not depend. Leaves are weights, or states that represent weights; the map lists them in
 * the order in which the backward walk completes them. Only nodes between a leaf and the loss get a cotangent.
 * Contributions to a cotangent are summed in a fixed order, from the last reader to the first. A gradient node has the
 * origin of the forward node that it differentiates. Iterative and linear in the number of nodes.
 */
export function gradients(
  emit: Emit,
  loss: Node,
  leaves: readonly Node[],
  options: GradientOptions = {},
): ReadonlyMap<Node, Node> {
  const order = nodesReaching([loss]);
  const between = dependents(order, new Set(leaves));
  const leafSet = new Set(leaves);
  const uses = usesOf(order, leafSet);
  const cotangents = new Cotangents(emit);
  const rematerialization = new Rematerialization(emit, order, options.recompute ?? null);
  const gradientOf = new Map<Node, Node>();
  if (between.has(loss)) cotangents.add(loss, 0, emit.node("constant", [], { value: 1, ...typeOf(loss) }, loss.origin));
  for (const node of order.toReversed()) {
    const dys = cotangents.of(node);
    if (!dys) continue;
    if (leafSet.has(node)) gradientOf.set(node, dys[0]!);
    rematerialization.enter(node, dys);
    if (isScatter(node)) rematerialization.restoreInput(node, dys[0]!);
    const dxs = inputCotangents(emit, rematerialization.withReadInputs(node), dys);
    dxs.forEach((dx, i) => {
      const input = node.inputs[i]!;
      if (!dx || !between.has(input)) return;
      cotangents.add(input, isOp(node, "pick") ? node.attrs.result : 0, dx);
      const readersLeft = uses.get(input);
      if (readersLeft !== undefined) uses.set(input, readersLeft - 1);
      // A partial gradient of a leaf with several readers: schedule the contributions early, so that their inputs can
      // be freed.
      if (readersLeft !== undefined && readersLeft > 1) rematerialization.waitFor(dx);
    });
  }
  return gradientOf;
}

/** The number of readers of each leaf. */
function usesOf(order: readonly Node[], leaves: ReadonlySet<Node>): Map<Node, number> {
  const uses = new Map<Node, number>();
  for (const node of order)
    for (const input of node.inputs) if (leaves.has(input)) uses.set(input, (uses.get(input) ?? 0) + 1);
  return uses;
}

/** The leaves, and the nodes that depend on them through differentiable operators. */
function dependents(order: readonly Node[], leaves: ReadonlySet<Node>): ReadonlySet<Node> {
  const found = new Set<Node>();
  for (const node of order) {
    const flows =
      ops[node.op].grad !== null && node.types.some((t) => isFloat(t.dtype)) && node.inputs.some((n) => found.has(n));
    if (flows || leaves.has(node)) found.add(node);
  }
  return found;
}

function inputCotangents(emit: Emit, node: Node, dys: readonly (Node | null)[]): readonly (Node | null)[] {
  const make: EmitGrad = (op, inputs, attrs) => emit.node(op, inputs, attrs, node.origin);
  return backward(make, node, dys);
}

const backward = <K extends OpName>(
  emit: EmitGrad,
  node: Node<K>,
  dys: readonly (Node | null)[],
): readonly (Node | null)[] => ops[node.op].grad?.(emit, node, dys) ?? [];

/** The cotangents of all results of the nodes visited so far. */
class Cotangents {
  readonly #emit: Emit;
  readonly #of = new Map<Node, (Node | null)[]>();

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  of(node: Node): readonly (Node | null)[] | null {
    return this.#of.get(node) ?? null;
  }

  add(node: Node, result: number, dy: Node): void {
    const type = node.types[result]!;
    invariant(
      equalTypes(typeOf(dy), type),
      `the cotangent of ${node.op} is ${printType(typeOf(dy))}, its result ${printType(type)}`,
    );
    let known = this.#of.get(node);
    if (!known) this.#of.set(node, (known = node.types.map(() => null)));
    const before = known[result]!;
    known[result] = before ? this.#emit.node("add", [before, dy], {}, node.origin) : dy;
  }
}

/** A weight or state as the model declares it. */
export interface DeclaredWeight {
  readonly kind: "weight" | "state";
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * Adds a result `grad.<path>` for each float weight of the model: zeros for a weight on which the loss does not depend,
 * even if nothing reads the weight. The graph must have a loss. `declared`: all weights and states of the model; states
 * have no gradient.
 */
export function withGradients(graph: Graph, declared: readonly DeclaredWeight[]): Graph {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss has no gradients");
  const emit = createEmit(ops, graph.axes);
  const states = new Set(declared.flatMap(({ kind, path }) => (kind === "state" ? [path] : [])));
  const weights = nodesOf(graph).filter(
    (n) => isOp(n, "weight") && n.attrs.dtype === "f32" && !states.has(n.attrs.path),
  );
  const gradientOf = gradients(emit, loss.node, weights);
  const result = (path: string, { dtype, shape }: TensorType, gradient: Node | undefined): GraphOutput => ({
    name: `grad.${path}`,
    role: "result",
    node: gradient ?? emit.node("constant", [], { value: 0, dtype, shape }),
    shape,
    packing: null,
  });
  const pathOf = (node: Node): string => (isOp(node, "weight") ? node.attrs.path : "");
  const read = new Set(weights.map(pathOf));
  const outputs = [
    ...weights.map((node) => result(pathOf(node), typeOf(node), gradientOf.get(node))),
    ...declared
      .filter(({ kind, path, dtype }) => kind === "weight" && dtype === "f32" && !read.has(path))
      .map(({ path, dtype, shape }) => result(path, { dtype, shape }, undefined)),
  ];
  const withResults = { ...graph, outputs: [...graph.outputs, ...outputs] };
  return { ...withResults, starts: reachedStarts(withResults, (axis) => graph.starts.get(axis) ?? null) };
}
