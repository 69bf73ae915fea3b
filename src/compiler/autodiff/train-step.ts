// Builds the graph of a training step: losses, gradients, clipping, and the optimiser's updates. Weights, moments and
// the model's own states are states of the graph.
import { bug } from "../../ground/base/invariant.js";
import { createEmit, type Emit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, updatesOf, type Graph, type GraphInput, type Node, type State } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { algebra, type Algebra } from "../ops/algebra.js";
import { ops } from "../ops/index.js";
import { LARGEST, type ReducedType } from "../../ground/base/dtype.js";
import { normOf } from "./gradient-norm.js";
import { gradients, type DeclaredWeight } from "./gradients.js";
import { recomputing } from "./layers.js";
import { lossScale, type LossScale } from "./loss-scale.js";
import { seedLoss, SHARES } from "./shares.js";
import { correctionsOf, isOrthogonalized, momentState, updated, type Optimizer, type Update } from "./optimisers.js";
import type { WeightRole } from "./roles.js";
import { accumulateReductions, isAccumulatedReduction, wholeUpdates, type Updates } from "./updates.js";
import { replaceNodes } from "../ir/replace.js";

export { correctionsOf, momentState, SHARES, type Optimizer };

export interface StepOptions {
  readonly optimizer: Optimizer;
  /**
   * The maximum global norm of the gradients; above it all gradients are scaled down by the same factor (Pascanu et al.
   * 2013). Null: no clipping.
   */
  readonly clip: number | null;
  /** Whether the step continues from accumulated gradients of micro-batches. */
  readonly accumulated: boolean;
  /** Selects the weights to train; default: all float weights. */
  readonly trained?: (weight: DeclaredWeight) => boolean;
  /**
   * Paths of weights that are not trained and remain weights instead of states, so that a program may store them in any
   * type. Default: none.
   */
  readonly frozen?: ReadonlySet<string>;
  /**
   * The type to which products of the step round their operands (`roundOperands`). Default: they do not round. With f16
   * the loss is scaled (`lossScale`), and a step whose gradients are not finite changes nothing but the scale.
   */
  readonly products?: ReducedType | undefined;
  /**
   * Paths of the losses that the objective itself declares; a micro-batch has another share in their means than in the
   * means of all other losses (`SHARES`). Default: all losses.
   */
  readonly ownLosses?: ReadonlySet<string>;
  /** Paths of frozen weights that the program stores in another type than f32; products do not round these. */
  readonly stored?: ReadonlySet<string>;
  /** Layers (`layersOf`) whose results are recomputed in the backward pass rather than stored; default: none. */
  readonly recompute?: ReadonlySet<string>;
  /**
   * Whether a step may be submitted before the result of the previous step is known (`FOLLOWS`). Default: no. A step
   * whose loss is scaled may not: its corrections are of the updates so far.
   */
  readonly inFlight?: boolean;
  /**
   * Selects the trained weights with weight decay. Default: weights with at least two dimensions that are not embedding
   * tables, so norms and biases have none.
   */
  readonly decays?: (weight: DeclaredWeight) => boolean;
  /**
   * Roles of weights by path (`rolesOf`). With them, routers and predictors learn at the rates of `OWN_RATES`, as do
   * the matrices of Muon, which needs the roles.
   */
  readonly roles?: ReadonlyMap<string, WeightRole>;
  /**
   * The decay of an exponential moving average of the trained weights, from 0 to below 1. The states named like weights
   * are then averages, which evaluation reads, and the step trains the states `rawState`. Default: no averages.
   */
  readonly ema?: number;
}

/** The input f32[4] of a step: learning rate, weight decay, and both numbers of `correctionsOf`. */
export const RATES = "step.rates";
/** The groups of weights with a learning rate of their own, in the order of `OWN_RATES`. */
export const RATE_GROUPS = ["router", "predictor", "muon"] as const;
export type RateGroup = (typeof RATE_GROUPS)[number];
/** The input f32[3], if a weight of a group learns: the learning rate of each of `RATE_GROUPS`. */
export const OWN_RATES = "step.own_rates";
/**
 * The input f32[]: 0 for the first micro-batch of a step, which discards the gradients of the previous step; 1 for the
 * others.
 */
export const KEEP = "step.keep";
/**
 * The input f32[], with `inFlight`: 1 for a step submitted before the result of the previous step was known, else 0.
 */
export const FOLLOWS = "step.follows";
/**
 * The state f32[]: 1 if the previous step was skipped because of non-finite values. A step in flight that follows a
 * skipped step is skipped too.
 */
export const HELD = "step.held";
/** The result of a step with the global norm of the gradients before clipping. */
export const GRADIENT_NORM = "gradient.norm";

/** The name of a weight's state: its path. */
export const weightState = (path: string): string => path;
/** The state that holds a trained weight if the state named like it holds its average. */
export const rawState = (path: string): string => `raw.${path}`;
export const gradientState = (path: string): string => `gradient.${path}`;

/** The states that the first micro-batch of a step overwrites: no step reads what they hold before. */
export const accumulatorsOf = (names: readonly string[], trained: readonly string[]): ReadonlySet<string> =>
  new Set([...trained.map(gradientState), ...names.filter(isAccumulatedReduction)]);

export interface TrainStep {
  readonly graph: Graph;
  /** Paths of the trained weights, in order of declaration. */
  readonly trained: readonly string[];
  /** Weights selected for training on which the loss does not depend. */
  readonly idle: readonly string[];
}

/** The objective's graph with weights as states, gradients, and updates of states. */
interface Prepared {
  readonly graph: Graph;
  readonly updates: Updates;
  readonly emit: Emit;
  /** Null: the loss is not scaled. */
  readonly scale: LossScale | null;
  /** The input `SHARES` of a step in parts. */
  readonly inputs: readonly Node<"input">[];
  readonly weights: readonly {
    readonly declared: DeclaredWeight;
    readonly node: Node<"state">;
    readonly gradient: Node | null;
  }[];
}

/** Builds gradients, clipping and optimiser as one graph whose states are weights and moments. */
export function trainStep(objective: Graph, declared: readonly DeclaredWeight[], options: StepOptions): TrainStep {
  const { graph, emit, weights, updates, scale, inputs } = prepare(objective, declared, options);
  const whole = options.accumulated ? wholeUpdates(emit, updates, graph.axes) : { updates, states: [] };
  const rates = emit.node("input", [], { name: RATES, dtype: "f32", shape: [4] });
  const m = algebra(emit.node, rates);
  const states: State[] = [...whole.states];
  const learning = weights.flatMap(({ declared: weight, node, gradient }) => {
    if (gradient === null) {
      if (!whole.updates.has(weight.path)) states.push(keeps(weight, node));
      if (node.attrs.name !== weight.path) states.push(keeps(weight, averageOf(emit, weight)));
      return [];
    }
    if (!options.accumulated) return [{ weight, node, gradient }];
    const before = accumulatorOf(emit, weight);
    states.push({ name: gradientState(weight.path), type: typeOf(node), init: { kind: "zeros" }, next: before });
    return [{ weight, node, gradient: m.add(before, gradient) }];
  });
  const unscaled = (x: Node): Node => (scale ? m.mul(scale.inverse, x) : x);
  const gradientsOf = learning.map((l) => l.gradient);
  const norm = unscaled(normOf(emit, m, gradientsOf));
  const skip = options.inFlight && !scale ? skipState(emit) : null;
  const fine = mayUpdate(m, [norm, m.abs(lossOf(graph))], skip);
  if (skip) states.push({ name: HELD, type: typeOf(skip.state), init: { kind: "zeros" }, next: m.where(fine, 0, 1) });
  for (const { declared: weight, node } of weights) {
    const next = whole.updates.get(weight.path);
    if (next) states.push({ ...keeps(weight, node), next: m.where(fine, next, node) });
  }
  const scaled = scale?.after(fine) ?? null;
  states.push(...(scaled?.states ?? []));
  const factor = unscaled(m.where(fine, clipping(m, norm, options.clip), NaN));
  const lookedUp = new Set(nodesOf(graph).flatMap((n) => (isOp(n, "gather") ? [n.inputs[0]] : [])));
  const slice = (of: Node, start: number, stop: number): Node => emit.node("slice", [of], { axis: 0, start, stop });
  const one = (node: Node): Node => emit.node("reshape", [node], { shape: [1] });
  const isMatrix = orthogonalizedBy(options);
  const groupOf = (weight: DeclaredWeight): number =>
    RATE_GROUPS.findIndex((g) => g === (isMatrix(weight) ? "muon" : options.roles?.get(weight.path)));
  const grouped = learning.some(({ weight }) => groupOf(weight) >= 0);
  const own = grouped ? emit.node("input", [], { name: OWN_RATES, dtype: "f32", shape: [RATE_GROUPS.length] }) : null;
  for (const { weight, node, gradient } of learning) {
    const decays = options.decays ? options.decays(weight) : weight.shape.length >= 2 && !lookedUp.has(node);
    const group = groupOf(weight);
    const update: Update = {
      declared: weight,
      node,
      gradient,
      rate: own && group >= 0 ? slice(own, group, group + 1) : slice(rates, 0, 1),
      decay: decays ? slice(rates, 1, 2) : one(m.number(0)),
      corrections: slice(rates, 2, 4),
      factor: one(factor),
      orthogonalized: isMatrix(weight),
    };
    const [next, ...moments] = updated(emit, update, options.optimizer);
    states.push(next, ...moments);
    if (options.ema !== undefined)
      states.push(averageState(emit, m, weight, { next: next.next, fine, decay: options.ema }));
  }
  const inOrder = (some: readonly DeclaredWeight[]): readonly string[] =>
    declared.filter((weight) => some.includes(weight)).map((weight) => weight.path);
  const given = [...inputs, rates, ...(own ? [own] : []), ...(skip ? [skip.follows] : [])];
  const outputs = [
    ...graph.outputs,
    { name: GRADIENT_NORM, role: "result" as const, node: norm, shape: [], packing: null },
    ...(scaled ? [scaled.output] : []),
  ];
  return {
    graph: withStarts(graph, { ...graph, inputs: [...graph.inputs, ...given.map(plainInput)], outputs, states }),
    trained: inOrder(learning.map((l) => l.weight)),
    idle: inOrder(weights.filter((w) => w.gradient === null && learns(w.declared, options)).map((w) => w.declared)),
  };
}

/** The options of micro-batches. */
type PartOptions = Pick<StepOptions, "trained" | "frozen" | "recompute" | "ema" | "products" | "ownLosses">;

/** Builds the graph that accumulates the gradients of a micro-batch and leaves the weights unchanged. */
export function accumulateStep(objective: Graph, declared: readonly DeclaredWeight[], options: PartOptions): Graph {
  const { graph, emit, weights, updates, scale, inputs } = prepare(objective, declared, {
    ...options,
    accumulated: true,
  });
  const keep = emit.node("input", [], { name: KEEP, dtype: "f32", shape: [] });
  const m = algebra(emit.node, keep);
  const continues = m.gt(keep, 0);
  const states = weights.flatMap(({ declared: weight, node, gradient }): State[] => {
    if (gradient === null) return [keeps(weight, node)];
    const before = m.where(continues, accumulatorOf(emit, weight), 0);
    const next = m.add(before, gradient);
    return [
      keeps(weight, node),
      { name: gradientState(weight.path), type: typeOf(node), init: { kind: "zeros" }, next },
    ];
  });
  const reductions = accumulateReductions(emit, updates, graph.axes, continues);
  return withStarts(graph, {
    ...graph,
    inputs: [...graph.inputs, ...[...inputs, keep].map(plainInput)],
    states: [...states, ...reductions, ...(scale ? scale.kept : [])],
  });
}

const learns = (weight: DeclaredWeight, { trained }: Pick<StepOptions, "trained">): boolean =>
  weight.kind === "weight" && weight.dtype === "f32" && (trained?.(weight) ?? true);

function prepare(
  objective: Graph,
  declared: readonly DeclaredWeight[],
  options: PartOptions & Pick<StepOptions, "accumulated">,
): Prepared {
  const isFrozen = (path: string): boolean => options.frozen?.has(path) ?? false;
  const withEma = new Set(
    options.ema === undefined ? [] : declared.filter((w) => learns(w, options)).map((w) => w.path),
  );
  const nameOf = (path: string): string => (withEma.has(path) ? rawState(path) : path);
  const withStates = weightsAsStates(objective, isFrozen, nameOf);
  const graph = { ...withStates, outputs: withStates.outputs.filter((o) => o.role !== "update") };
  const emit = createEmit(ops, graph.axes);
  const read = new Map(graph.states.map((s) => [s.name, s.next]));
  const nodes = declared.flatMap((weight) => {
    const { path, dtype, shape } = weight;
    if (isFrozen(path)) return [];
    const node = read.get(nameOf(path)) ?? emit.node("state", [], { name: path, dtype, shape });
    return [{ weight, node: node as Node<"state"> }]; // unchanged: its next value is the node itself
  });
  const leaves = nodes
    .filter(({ weight }) => learns(weight, options) && read.has(nameOf(weight.path)))
    .map(({ node }) => node);
  const scale = options.products === "f16" ? lossScale(emit) : null;
  const { loss, inputs } = seedLoss(emit, graph, lossOf(graph), {
    own: options.accumulated ? (options.ownLosses ?? null) : "whole",
    scale: scale?.factor ?? null,
  });
  const gradientOf = gradients(
    emit,
    loss,
    leaves,
    options.recompute ? { recompute: recomputing(options.recompute) } : {},
  );
  // In the order of the backward walk, which is the order of computation, so that the inputs of one gradient are freed
  // before the next gradient.
  const indexOf = new Map([...gradientOf.keys()].map((leaf, i) => [leaf, i]));
  const weights = nodes.map(({ weight, node }) => ({ declared: weight, node, gradient: gradientOf.get(node) ?? null }));
  const updates = updatesOf(withStates);
  return {
    graph,
    emit,
    updates,
    scale,
    inputs,
    weights: weights.sort((a, b) => (indexOf.get(a.node) ?? -1) - (indexOf.get(b.node) ?? -1)),
  };
}

function lossOf(graph: Graph): Node {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss cannot be trained");
  return loss.node;
}

/** The state of a weight's average. */
const averageOf = (emit: Emit, { path, dtype, shape }: DeclaredWeight): Node<"state"> =>
  emit.node("state", [], { name: path, dtype, shape });

/** The average after a step: it moves towards the weight after the step by 1 − decay. */
function averageState(
  emit: Emit,
  m: Algebra,
  weight: DeclaredWeight,
  { next, fine, decay }: { readonly next: Node; readonly fine: Node; readonly decay: number },
): State {
  const before = averageOf(emit, weight);
  const after = m.add(before, m.mul(m.sub(next, before), 1 - decay));
  return { ...keeps(weight, before), next: m.where(fine, after, before) };
}

const keeps = ({ path, dtype, shape }: DeclaredWeight, node: Node<"state">): State => ({
  name: node.attrs.name,
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

/** The clipping factor of the gradients: min(1, clip / (norm + 1e-6)), as in PyTorch's `clip_grad_norm_`. */
const clipping = (m: Algebra, norm: Node, clip: number | null): Node =>
  clip === null ? m.number(1) : m.min(1, m.div(clip, m.add(norm, 1e-6)));

interface SkipState {
  readonly state: Node<"state">;
  readonly follows: Node<"input">;
  /** Whether this step follows a skipped step. */
  readonly held: Node;
}

function skipState(emit: Emit): SkipState {
  const state = emit.node("state", [], { name: HELD, dtype: "f32", shape: [] });
  const follows = emit.node("input", [], { name: FOLLOWS, dtype: "f32", shape: [] });
  const m = algebra(emit.node, state);
  const held = m.gt(m.mul(state, follows), 0);
  return { state, follows, held };
}

/**
 * Whether the step may update anything: all values are finite, and the step does not follow a skipped step. If not,
 * gradients are multiplied by NaN, for which the optimisers change nothing.
 */
function mayUpdate(m: Algebra, values: readonly Node[], holds: SkipState | null): Node {
  const conditions = [...values.map((x) => m.le(x, LARGEST.f32)), ...(holds ? [m.not(holds.held)] : [])];
  return conditions.reduce((all, one) => m.and(all, one));
}

/** Selects the weights that Muon updates. */
function orthogonalizedBy({ optimizer, roles }: StepOptions): (weight: DeclaredWeight) => boolean {
  if (optimizer.kind !== "muon") return () => false;
  return (weight) => isOrthogonalized(weight, roles ?? bug("Muon needs the roles of weights"));
}

/** Adds the starts of every axis that the larger graph mentions. */
function withStarts(from: Graph, graph: Graph): Graph {
  return { ...graph, starts: reachedStarts(graph, (axis) => from.starts.get(axis) ?? null) };
}

/**
 * Replaces every weight of the graph, except those that `stays` selects, by a state that is initialised with the weight
 * and keeps its value. The results do not change, and sessions of several programs can share the states. `nameOf`: the
 * name of a weight's state; default: its path.
 */
export function weightsAsStates(
  graph: Graph,
  stays: (path: string) => boolean = () => false,
  nameOf: (path: string) => string = weightState,
): Graph {
  const emit = createEmit(ops, graph.axes);
  const states = new Map<string, State>();
  const replacements = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    if (isOp(node, "weight") && !stays(node.attrs.path)) {
      const { path, dtype, shape } = node.attrs;
      const name = nameOf(path);
      const state = emit.node("state", [], { name, dtype, shape }, node.origin);
      states.set(path, {
        name,
        type: { dtype, shape },
        init: { kind: "weight", path },
        next: state,
      });
      replacements.set(node, state);
    } else if (node.inputs.some((n) => replacements.get(n) !== n)) {
      const inputs = node.inputs.map((n) => replacements.get(n)!);
      replacements.set(node, inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs });
    } else replacements.set(node, node);
  }
  return {
    ...replaceNodes(graph, (node) => replacements.get(node) ?? node),
    states: [...graph.states, ...states.values()],
  };
}
