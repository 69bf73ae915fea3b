// The memory that training takes on each device, by how the model lies on several: from the buffers of modc's own step.
import { once } from "../../ground/base/once.js";
import { countOf } from "../../ground/base/collections.js";
import { memoryOf, type MemoryUse } from "../../runtime/run/memory.js";
import type { CountMode } from "../../ground/size/counting.js";
import { groupOf } from "../../compiler/cost/group.js";
import { layerOf } from "../../compiler/autodiff/layers.js";
import { dividedOf } from "./divided.js";
import type { Training } from "./opened.js";

/**
 * `replicated`: all on each. `fsdp`: weights, gradients and moments in equal parts, gathered layer by layer (ZeRO-3,
 * Rajbhandari et al. 2020, arXiv 1910.02054). `tp`: what `divided.ts` tells is divided.
 */
export const SHARDINGS = ["replicated", "fsdp", "tp"] as const;
export type Sharding = (typeof SHARDINGS)[number];

/** `bf16`: weights, gradients and activations in two bytes a value, moments in f32. */
export const PRECISIONS = ["f32", "bf16"] as const;
export type TrainingPrecision = (typeof PRECISIONS)[number];

export interface Layout {
  readonly sharding: Sharding;
  readonly precision: TrainingPrecision;
  /** Whether the layers' activations are computed again in the backward pass. */
  readonly recompute: boolean;
  readonly devices: number;
}

/** Bytes on each device. */
export interface TrainingMemory {
  readonly weights: number;
  /** AdamW's two moments. */
  readonly moments: number;
  /** States of the model's own, and of the step. */
  readonly states: number;
  /** What is gathered of other devices' weights, at most. */
  readonly gathered: number;
  /** Intermediate values with gradients, inputs, results, tables. */
  readonly rest: number;
  readonly total: number;
}

/** Extents of a batch: so many sequences of `length` tokens on a device; with `tp`, on the devices together. */
export type Extents = (sequences: number) => ReadonlyMap<string, number>;

/** The memory of training as a function of the layout and of the sequences. `mode` `dense`: with no token skipped. */
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
    // What a step holds with its gradients; and, where these are in parts, at most the values of a micro-batch beside
    // its part of them.
    const together = scale * (stepUse.total - stepUse.states);
    const shareOfValues = 1 - divided.values * (1 - 1 / devices);
    const apart = (): number => {
      const micro = use(microBatch());
      return scale * (micro.total - micro.states) * shareOfValues + bytes * kept;
    };
    const rest = kept === values ? together : Math.min(together, apart());
    const states = stepUse.states - 12 * values;
    const gathered = sharding === "fsdp" && devices > 1 ? bytes * whole() : 0;
    return { weights, moments, states, gathered, rest, total: weights + moments + states + gathered + rest };
  };
}

/**
 * Values that are whole on a device at once: what lies in no layer, and of the largest layer the weights, those of the
 * next, which is fetched meanwhile, and the gradient before it is divided.
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

/** The most sequences for which the memory suffices; 0 where it does for none. */
export function mostSequences(memory: MemoryOf, layout: Layout, bytes: number): number {
  const total = (sequences: number): number => memory(layout, sequences).total;
  let [low, high] = [1, 1];
  let [least, most] = [total(1), 0];
  if (least > bytes) return 0;
  for (most = least; most <= bytes; most = total(high)) {
    if (high > MOST_SEQUENCES) return MOST_SEQUENCES;
    [low, least, high] = [high, most, 2 * high];
  }
  // Each sequence takes about as much as any other: the place between two totals is where a line has it.
  while (high - low > 1) {
    const line = low + Math.floor(((high - low) * (bytes - least)) / (most - least));
    const between = Math.min(high - 1, Math.max(low + 1, line));
    const found = total(between);
    if (found <= bytes) [low, least] = [between, found];
    else [high, most] = [between, found];
  }
  return Math.min(low, MOST_SEQUENCES);
}

/** Beyond this a batch is bounded by what it is good for, not by memory. */
const MOST_SEQUENCES = 2 ** 16;

/** The largest number from 1 to `most` for which a condition holds that fails for all larger ones; 0 for none. */
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
 * The fewest devices, a power of two of those that are allowed, on which a sequence for each fits; null where more do
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
