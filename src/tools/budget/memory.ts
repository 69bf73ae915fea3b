// Estimates training memory per device for each way to distribute the model, from the buffers of modc's training step.
import { once } from "../../ground/base/once.js";
import { countOf } from "../../ground/base/collections.js";
import { memoryOf, type MemoryUse } from "../../runtime/run/memory.js";
import type { CountMode } from "../../ground/size/counting.js";
import { groupOf } from "../../compiler/cost/group.js";
import { layerOf } from "../../compiler/autodiff/layers.js";
import type { Training } from "./opened.js";
import { isOp, isPointwise, isView, nodesOf, typeOf, type Graph, type Node } from "../../compiler/ir/graph.js";
import { resolveSizes, type RunSizes } from "../../ground/size/axes.js";

/**
 * `replicated`: every device holds everything.
 * `fsdp`: weights, gradients and moments are divided equally, and weights are gathered layer by layer (ZeRO-3,
 * Rajbhandari et al. 2020, arXiv 1910.02054).
 * `tp`: tensor parallelism divides the weights and values found by `divided.ts`.
 */
export const SHARDINGS = ["replicated", "fsdp", "tp"] as const;
export type Sharding = (typeof SHARDINGS)[number];

/** `bf16`: weights, gradients and activations take two bytes per value; moments stay f32. */
export const PRECISIONS = ["f32", "bf16"] as const;
export type TrainingPrecision = (typeof PRECISIONS)[number];

export interface Layout {
  readonly sharding: Sharding;
  readonly precision: TrainingPrecision;
  /** Whether the backward pass recomputes the layers' activations. */
  readonly recompute: boolean;
  readonly devices: number;
}

/** Bytes on each device. */
export interface TrainingMemory {
  readonly weights: number;
  /** AdamW's two moments. */
  readonly moments: number;
  /** The model's states and the step's states. */
  readonly states: number;
  /** Peak memory for weights gathered from other devices. */
  readonly gathered: number;
  /** Null for modc's own step, whose buffers are shared: the gradients are part of `rest`. */
  readonly gradients: number | null;
  /** Values that wait for the backward pass; null as for gradients. */
  readonly activations: number | null;
  /** Temporary values; for modc's own step all intermediate values, inputs, results, and tables. */
  readonly rest: number;
  readonly total: number;
  /** Empty for modc's own step. */
  readonly layers: readonly LayerMemory[];
}

/** Bytes of a layer on each device: its parameters, and the activations kept for its backward pass. */
export interface LayerMemory {
  readonly layer: string;
  readonly parameters: number;
  readonly activations: number;
}

/**
 * Axis extents for a batch of sequences with `length` tokens each: the sequences on one device, or with `tp` on all
 * devices together.
 */
export type Extents = (sequences: number) => ReadonlyMap<string, number>;

/** Training memory as a function of layout and number of sequences. With `mode` `dense` no token is skipped. */
export type MemoryOf = (layout: Layout, sequences: number) => TrainingMemory;

export function trainingMemory(training: Training, extents: Extents, mode: CountMode = "bound"): MemoryOf {
  const learned = training.model.weights.filter((w) => w.kind === "weight" && w.dtype === "f32");
  const values = learned.reduce((sum, w) => sum + countOf(w.shape), 0);
  const whole = once(() => gatheredValues(learned));
  return ({ sharding, precision, recompute, devices }, sequences) => {
    const { step, microBatch } = recompute ? training.recomputed : training.stored;
    const max = Object.fromEntries(extents(sequences));
    const use = (program: ReturnType<typeof step>): MemoryUse => memoryOf(program, { max, mode });
    const stepUse = use(step());
    const bytes = precision === "bf16" ? 2 : 4;
    const scale = bytes / 4;
    const live = new Map(training.objective.live.map((l) => [l.name, l.default]));
    const divided =
      sharding === "tp"
        ? dividedOf(training.objective, devices, { extents: extents(sequences), lengths: new Map(), live }, mode)
        : { weights: 0, values: 0 };
    const kept = sharding === "fsdp" ? values / devices : values - divided.weights * (1 - 1 / devices);
    const weights = bytes * kept;
    const moments = 8 * kept;
    // The memory of a whole step including gradients. If gradients are divided, the memory is at most the values of one
    // micro-batch plus this device's part of the gradients.
    const together = scale * (stepUse.total - stepUse.states);
    const shareOfValues = 1 - divided.values * (1 - 1 / devices);
    const apart = (): number => {
      const micro = use(microBatch());
      return scale * (micro.total - micro.states) * shareOfValues + bytes * kept;
    };
    const rest = kept === values ? together : Math.min(together, apart());
    const states = stepUse.states - 12 * values;
    const gathered = sharding === "fsdp" && devices > 1 ? bytes * whole() : 0;
    const total = weights + moments + states + gathered + rest;
    return { weights, moments, states, gathered, gradients: null, activations: null, rest, total, layers: [] };
  };
}

/**
 * The largest number of weight values that are whole on a device at one time. Weights outside of layers are always
 * whole. For the largest layer three copies count: its weights, the prefetched weights of the next layer, and its
 * gradient before division.
 */
function gatheredValues(weights: Training["model"]["weights"]): number {
  const layers = new Map<string, number>();
  let outside = 0;
  for (const { path, shape } of weights) {
    const values = countOf(shape);
    if (layerOf(path) === null) outside += values;
    else layers.set(groupOf(path), (layers.get(groupOf(path)) ?? 0) + values);
  }
  return outside + 3 * Math.max(0, ...layers.values());
}

/** The largest number of sequences that fits the memory; 0 if a single sequence does not fit. */
export function mostSequences(memory: MemoryOf, layout: Layout, bytes: number): number {
  const total = (sequences: number): number => memory(layout, sequences).total;
  let [low, high] = [1, 1];
  let [least, most] = [total(1), 0];
  if (least > bytes) return 0;
  for (most = least; most <= bytes; most = total(high)) {
    if (high > MOST_SEQUENCES) return MOST_SEQUENCES;
    [low, least, high] = [high, most, 2 * high];
  }
  // Memory is almost linear in the number of sequences, so the search interpolates between two known totals.
  while (high - low > 1) {
    const line = low + Math.floor(((high - low) * (bytes - least)) / (most - least));
    const between = Math.min(high - 1, Math.max(low + 1, line));
    const found = total(between);
    if (found <= bytes) [low, least] = [between, found];
    else [high, most] = [between, found];
  }
  return Math.min(low, MOST_SEQUENCES);
}

/** The search limit. Beyond this batch size, memory is no longer the limiting factor. */
const MOST_SEQUENCES = 2 ** 16;

/**
 * The largest number from 1 to `most` that satisfies a condition which fails for all larger numbers; 0 if none does.
 */
export function largestWhere(holds: (n: number) => boolean, most: number): number {
  let [low, high] = [0, 1];
  while (high <= most && holds(high)) [low, high] = [high, 2 * high];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (middle <= most && holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * The smallest allowed power-of-two number of devices at which one sequence per device fits. Null if more devices do
 * not help.
 */
export function fewestDevices(
  memory: MemoryOf,
  layout: Omit<Layout, "devices">,
  bytes: number,
  allows: (layout: Layout) => boolean = () => true,
): number | null {
  for (let devices = 1; devices <= MOST_DEVICES; devices *= 2) {
    const on: Layout = { ...layout, devices };
    if (allows(on) && memory(on, 1).total <= bytes) return devices;
    if (layout.sharding === "replicated") return null;
  }
  return null;
}

const MOST_DEVICES = 4096;

// Computes the share of a model that tensor parallelism divides: pairs of matrices (columns of the first matmul, rows
// of the second) and the values between them (Shoeybi et al. 2019, arXiv 1909.08053). Everything else is whole on every
// device.

export interface Divided {
  /** Number of divided weight values. */
  readonly weights: number;
  /** The divided share of all stored values, by number of values. */
  readonly values: number;
}

/** Divides among `devices`. `objective`: the graph before any pass. */
function dividedOf(objective: Graph, devices: number, run: RunSizes, mode: CountMode): Divided {
  const nodes = nodesOf(objective);
  const whole = new Set<Node>();
  let axis = walk(objective, nodes, devices, whole);
  while (axis.broken.size > 0) {
    for (const first of axis.broken) whole.add(first);
    axis = walk(objective, nodes, devices, whole);
  }
  const sizes = resolveSizes(objective.axes, run, mode);
  let [all, parts] = [0, 0];
  for (const node of nodes) {
    const type = node.types[0];
    if (isView(node) || type?.dtype !== "f32" || node.inputs.every((input) => weightsBehind(input).length > 0))
      continue;
    const values = type.shape.reduce<number>((product, size) => product * sizes.number(size), 1);
    all += values;
    if (axis.between.has(node)) parts += values;
  }
  return { weights: axis.weights, values: all === 0 ? 0 : parts / all };
}

interface Walk {
  readonly weights: number;
  /** Values between the first and the second matmul of a pair, with the first matmuls that they depend on. */
  readonly between: ReadonlyMap<Node, ReadonlySet<Node>>;
  /** First matmuls that must stay whole, because a reader needs all of their columns. */
  readonly broken: ReadonlySet<Node>;
}

/** Divides every matmul that may be the first of a pair, except for the ones in `whole`. */
function walk(objective: Graph, nodes: readonly Node[], devices: number, whole: ReadonlySet<Node>): Walk {
  const between = new Map<Node, ReadonlySet<Node>>();
  const broken = new Set<Node>();
  const paired = new Set<Node>();
  const matrices = new Map<string, number>();
  const firstsOf = (node: Node): ReadonlySet<Node> => between.get(node) ?? NONE;
  for (const node of nodes) {
    const firsts = new Set(node.inputs.flatMap((input) => [...firstsOf(input)]));
    const weights = isProduct(node) ? weightsBehind(node.inputs[1]) : [];
    const even = weights.length > 0 && weights.every((w) => isEven(w, devices));
    if (firsts.size === 0) {
      if (!even || whole.has(node)) continue;
      between.set(node, new Set([node]));
    } else if (isProduct(node)) {
      for (const first of firsts) (even ? paired : broken).add(first);
    } else if (keepsColumnsApart(node, devices)) between.set(node, firsts);
    else for (const first of firsts) broken.add(first);
    if (even) for (const w of weights) matrices.set(w.attrs.path, countOf(typeOf(w).shape.map(Number)));
  }
  for (const { node } of objective.outputs) for (const first of firstsOf(node)) broken.add(first);
  for (const firsts of between.values()) for (const first of firsts) if (!paired.has(first)) broken.add(first);
  return { weights: [...matrices.values()].reduce((sum, n) => sum + n, 0), between, broken };
}

const NONE: ReadonlySet<Node> = new Set();

const isProduct = (node: Node): boolean => isOp(node, "matmul") || isOp(node, "grouped_matmul");

/** Whether each column (or head) of the result depends only on the same columns (or heads) of the operands. */
const keepsColumnsApart = (node: Node, devices: number): boolean =>
  isPointwise(node) ||
  isView(node) ||
  // [heads, rows, columns per head]: each device needs whole heads, also for the keys.
  (isOp(node, "attention") && node.inputs.slice(0, 2).every((x) => Number(typeOf(x).shape[0]) % devices === 0)) ||
  isOp(node, "rope") ||
  isOp(node, "take") ||
  // A norm of each head, for rows of shape [heads, columns per head].
  (isOp(node, "sum") && typeOf(node.inputs[0]).shape.length >= 3);

/** The weights behind a node: the node itself, or weights that it views or concatenates. Empty for other nodes. */
function weightsBehind(node: Node): readonly Node<"weight">[] {
  if (isOp(node, "weight")) return [node];
  if (!isView(node) && !isOp(node, "concat")) return [];
  const found = node.inputs.map(weightsBehind);
  return found.some((weights) => weights.length === 0) ? [] : found.flat();
}

const isEven = (weight: Node<"weight">, devices: number): boolean =>
  weight.attrs.shape.length === 2 &&
  weight.attrs.shape.every((n) => n % devices === 0) &&
  layerOf(weight.attrs.path) !== null;
