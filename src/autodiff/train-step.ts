// The training step as a graph: losses, their gradients, clipping, and the optimiser's new values of weights and
// moments, all states.
import { bug } from "../base/invariant.js";
import { createEmit, type Emit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphInput, type Node, type State } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { algebra, type Algebra } from "../ops/algebra.js";
import { ops } from "../ops/index.js";
import { LARGEST, type DType } from "../base/dtype.js";
import { gradients } from "./gradients.js";
import { recomputing } from "./layers.js";
import { weightsAsStates, weightState } from "./weights-as-states.js";

/** A weight as the model declares it. */
export interface DeclaredWeight {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export type Optimizer =
  /** Loshchilov and Hutter 2019, as PyTorch's AdamW computes it: decay apart from the gradient, bias correction. */
  | { readonly kind: "adamw"; readonly beta1: number; readonly beta2: number; readonly eps: number }
  /** PyTorch's SGD: momentum without dampening, decay added to the gradient. */
  | { readonly kind: "sgd"; readonly momentum: number; readonly nesterov: boolean };

export interface StepOptions {
  readonly optimizer: Optimizer;
  /**
   * The largest norm of all gradients together; beyond it all are scaled down alike (Pascanu et al. 2013). Null: none.
   */
  readonly clip: number | null;
  /** Whether gradients of micro-batches were added up before this one. */
  readonly accumulated: boolean;
  /** Which weights learn; by default all that hold floats. */
  readonly trained?: (weight: DeclaredWeight) => boolean;
  /** Layers (`layersOf`) whose results are computed again for the backward pass rather than kept; by default none. */
  readonly recompute?: ReadonlySet<string>;
  /** Whether a step may be begun before it is known how the one before ended (`FOLLOWS`); by default not. */
  readonly inFlight?: boolean;
  /**
   * Which of them decay; by default those of two dimensions and more that are not looked up by index, so that norms,
   * biases and embeddings are spared.
   */
  readonly decays?: (weight: DeclaredWeight) => boolean;
}

/**
 * What a step is told beside the model's inputs, f32[5]: learning rate, decay, 1 − beta1^t, 1 − beta2^t with t the
 * number of this step from 1 (SGD ignores both), and the share of each micro-batch in the gradient, 1 over their
 * number.
 */
export const RATES = "step.rates";
/** f32[]: 0 for the first micro-batch of a step, whose gradients replace those of the step before; 1 for others. */
export const KEEP = "step.keep";
/**
 * f32[], where steps are in flight: 1 for a step that was begun before it was known how the one before ended, 0 for
 * others.
 */
export const FOLLOWS = "step.follows";
/**
 * The state f32[] that says whether the step before was one that changed nothing: 1 then. What follows such a step
 * changes nothing either.
 */
export const HELD = "step.held";
/** Result of a step: the norm of all gradients together, before clipping. */
export const GRADIENT_NORM = "gradient.norm";

export const gradientState = (path: string): string => `gradient.${path}`;
export const momentState = (kind: "m" | "v", path: string): string => `optimizer.${kind}.${path}`;

export interface TrainStep {
  readonly graph: Graph;
  /** Paths of the weights that the step changes, in order of declaration. */
  readonly trained: readonly string[];
  /** Weights that should learn and of which the loss is no function. */
  readonly idle: readonly string[];
}

/** The graph of an objective in which every weight is a state, with its gradients. */
interface Prepared {
  readonly graph: Graph;
  readonly emit: Emit;
  readonly weights: readonly {
    readonly declared: DeclaredWeight;
    readonly node: Node<"state">;
    readonly gradient: Node | null;
  }[];
}

/**
 * Gradients, clipping and optimiser in one graph: weights and moments are states whose next values are those after the
 * step.
 */
export function trainStep(objective: Graph, declared: readonly DeclaredWeight[], options: StepOptions): TrainStep {
  const { graph, emit, weights } = prepare(objective, declared, options);
  const rates = emit.node("input", [], { name: RATES, dtype: "f32", shape: [5] });
  const m = algebra(emit.node, rates);
  const states: State[] = [];
  const learning = weights.flatMap(({ declared: own, node, gradient }) => {
    if (gradient === null) {
      states.push(keeps(own, node));
      return [];
    }
    if (!options.accumulated) return [{ own, node, gradient }];
    const before = accumulatorOf(emit, own);
    states.push({ name: gradientState(own.path), type: typeOf(node), init: { kind: "zeros" }, next: before });
    return [{ own, node, gradient: m.add(before, gradient) }];
  });
  const share = emit.node("reshape", [emit.node("slice", [rates], { axis: 0, start: 4, stop: 5 })], { shape: [] });
  const gradientNorm = normOf(
    emit,
    m,
    learning.map((l) => l.gradient),
  );
  const norm = m.mul(share, gradientNorm);
  const held = options.inFlight ? holding(emit) : null;
  const fine = finite(m, [norm, m.abs(lossOf(graph))], held);
  if (held)
    states.push({
      name: HELD,
      type: typeOf(held.state),
      init: { kind: "zeros" },
      next: m.where(fine, 0, 1),
    });
  const factor = m.mul(share, m.where(fine, clipping(m, norm, options.clip), NaN));
  const lookedUp = new Set(nodesOf(graph).flatMap((n) => (isOp(n, "gather") ? [n.inputs[0]] : [])));
  for (const { own, node, gradient } of learning) {
    const decays = options.decays ? options.decays(own) : own.shape.length >= 2 && !lookedUp.has(node);
    states.push(
      ...updated(
        emit,
        {
          own,
          node,
          gradient,
          settings: settingsOf(emit, options.optimizer, rates, decays ? null : m.number(0), factor),
        },
        options.optimizer,
      ),
    );
  }
  const inOrder = (some: readonly DeclaredWeight[]): readonly string[] =>
    declared.filter((own) => some.includes(own)).map((own) => own.path);
  const inputs: GraphInput[] = [...graph.inputs, plainInput(rates), ...(held ? [plainInput(held.follows)] : [])];
  const outputs = [
    ...graph.outputs,
    { name: GRADIENT_NORM, role: "result" as const, node: norm, shape: [], packing: null },
  ];
  return {
    graph: withStarts(graph, { ...graph, inputs, outputs, states }),
    trained: inOrder(learning.map((l) => l.own)),
    idle: inOrder(weights.filter((w) => w.gradient === null && learns(w.declared, options)).map((w) => w.declared)),
  };
}

/** Adds the gradients of a micro-batch to those before it; weights stay as they are. */
export function accumulateStep(
  objective: Graph,
  declared: readonly DeclaredWeight[],
  options: Pick<StepOptions, "trained" | "recompute">,
): Graph {
  const { graph, emit, weights } = prepare(objective, declared, options);
  const keep = emit.node("input", [], { name: KEEP, dtype: "f32", shape: [] });
  const m = algebra(emit.node, keep);
  const continues = m.gt(keep, 0);
  const states = weights.flatMap(({ declared: own, node, gradient }): State[] => {
    if (gradient === null) return [keeps(own, node)];
    const before = m.where(continues, accumulatorOf(emit, own), 0);
    const next = m.add(before, gradient);
    return [keeps(own, node), { name: gradientState(own.path), type: typeOf(node), init: { kind: "zeros" }, next }];
  });
  return withStarts(graph, { ...graph, inputs: [...graph.inputs, plainInput(keep)], states });
}

const learns = (weight: DeclaredWeight, { trained }: Pick<StepOptions, "trained">): boolean =>
  weight.dtype === "f32" && (trained?.(weight) ?? true);

function prepare(
  objective: Graph,
  declared: readonly DeclaredWeight[],
  options: Pick<StepOptions, "trained" | "recompute">,
): Prepared {
  const graph = weightsAsStates(objective);
  const emit = createEmit(ops, graph.axes);
  const read = new Map(graph.states.map((s) => [s.name, s.next]));
  const nodes = declared.map((own) => {
    const { dtype, shape } = own;
    const node =
      read.get(weightState(own.path)) ?? emit.node("state", [], { name: weightState(own.path), dtype, shape });
    return { own, node: node as Node<"state"> }; // a weight's state keeps its value, so its next one is its node
  });
  const leaves = nodes
    .filter(({ own }) => learns(own, options) && read.has(weightState(own.path)))
    .map(({ node }) => node);
  const found = gradients(
    emit,
    lossOf(graph),
    leaves,
    options.recompute ? { recompute: recomputing(options.recompute) } : {},
  );
  // In the order of the walk, which is the order of computation: what a gradient is made from is done with before the
  // next.
  const place = new Map([...found.keys()].map((leaf, i) => [leaf, i]));
  const weights = nodes.map(({ own, node }) => ({ declared: own, node, gradient: found.get(node) ?? null }));
  return { graph, emit, weights: weights.sort((a, b) => (place.get(a.node) ?? -1) - (place.get(b.node) ?? -1)) };
}

function lossOf(graph: Graph): Node {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss cannot be trained");
  return loss.node;
}

const keeps = ({ path, dtype, shape }: DeclaredWeight, node: Node): State => ({
  name: weightState(path),
  type: { dtype, shape },
  init: { kind: "weight", path },
  next: node,
});

const accumulatorOf = (emit: Emit, { path, shape }: DeclaredWeight): Node =>
  emit.node("state", [], { name: gradientState(path), dtype: "f32", shape });

const plainInput = (node: Node<"input">): GraphInput => ({
  name: node.attrs.name,
  node,
  shape: node.attrs.shape,
  packing: null,
  least: 0,
  below: null,
});

/** √Σ g², over every element of every gradient. */
function normOf(emit: Emit, m: Algebra, all: readonly Node[]): Node {
  const squares = all.map((g) =>
    emit.node("sum", [m.powi(g, 2)], { axes: typeOf(g).shape.map((_, i) => i), keep: false }),
  );
  return m.sqrt(squares.reduce((sum, s) => m.add(sum, s), m.number(0)));
}

/** What gradients are multiplied by: min(1, clip / (norm + 1e-6)) as PyTorch's `clip_grad_norm_` has it. */
const clipping = (m: Algebra, norm: Node, clip: number | null): Node =>
  clip === null ? m.number(1) : m.min(1, m.div(clip, m.add(norm, 1e-6)));

interface Holding {
  readonly state: Node<"state">;
  readonly follows: Node<"input">;
  /** Whether this step follows one that changed nothing. */
  readonly held: Node;
}

function holding(emit: Emit): Holding {
  const state = emit.node("state", [], { name: HELD, dtype: "f32", shape: [] });
  const follows = emit.node("input", [], { name: FOLLOWS, dtype: "f32", shape: [] });
  const m = algebra(emit.node, state);
  const held = m.gt(m.mul(state, follows), 0);
  return { state, follows, held };
}

/**
 * Whether a step may change anything: these are finite, and nothing holds it. Where it may not, gradients are
 * multiplied by NaN, at which the optimisers change nothing.
 */
function finite(m: Algebra, values: readonly Node[], holds: Holding | null): Node {
  const each = [...values.map((x) => m.le(x, LARGEST.f32)), ...(holds ? [m.not(holds.held)] : [])];
  return each.reduce((all, one) => m.and(all, one));
}

/** [learning rate, decay, (AdamW: both corrections), factor]. */
function settingsOf(emit: Emit, optimizer: Optimizer, rates: Node, spared: Node | null, factor: Node): Node {
  const slice = (start: number, stop: number): Node => emit.node("slice", [rates], { axis: 0, start, stop });
  const one = (node: Node): Node => emit.node("reshape", [node], { shape: [1] });
  const decay = spared ? one(spared) : slice(1, 2);
  return emit.node("concat", [slice(0, 1), decay, ...(optimizer.kind === "adamw" ? [slice(2, 4)] : []), one(factor)], {
    axis: 0,
  });
}

interface Update {
  readonly own: DeclaredWeight;
  readonly node: Node;
  readonly gradient: Node;
  readonly settings: Node;
}

/** The states of one weight after the step. */
function updated(emit: Emit, { own, node, gradient, settings }: Update, optimizer: Optimizer): readonly State[] {
  const type = typeOf(node);
  const moment = (kind: "m" | "v"): Node<"state"> =>
    emit.node("state", [], { name: momentState(kind, own.path), dtype: "f32", shape: own.shape });
  const state = (kind: "m" | "v", next: Node): State => ({
    name: momentState(kind, own.path),
    type,
    init: { kind: "zeros" },
    next,
  });
  const weight = (next: Node): State => ({
    name: weightState(own.path),
    type,
    init: { kind: "weight", path: own.path },
    next,
  });
  switch (optimizer.kind) {
    case "adamw": {
      const { beta1, beta2, eps } = optimizer;
      const made = emit.node("adamw", [node, moment("m"), moment("v"), gradient, settings], { beta1, beta2, eps });
      return [weight(emit.pick(made, 0)), state("m", emit.pick(made, 1)), state("v", emit.pick(made, 2))];
    }
    case "sgd": {
      const { momentum, nesterov } = optimizer;
      const made = emit.node("sgd", [node, moment("m"), gradient, settings], { momentum, nesterov });
      return [weight(emit.pick(made, 0)), state("m", emit.pick(made, 1))];
    }
    default:
      return optimizer satisfies never;
  }
}

/** The starts of every axis that the larger graph mentions. */
function withStarts(from: Graph, graph: Graph): Graph {
  return { ...graph, starts: reachedStarts(graph, (axis) => from.starts.get(axis) ?? null) };
}
