// Estimates the memory of a training step in PyTorch by formula: parameters, gradients, moments, and the activations
// that each layer keeps for the backward pass. `memory.py` of an exported folder counts the same step exactly.
import type { Model, Value } from "../../language/check/model/model.js";
import { groupOf } from "../../compiler/cost/group.js";
import { countOf } from "../../ground/base/collections.js";
import { resolveSizes } from "../../ground/size/axes.js";
import type { CountMode } from "../../ground/size/counting.js";
import { valuesOf } from "../export/bounds.js";
import { Stacks } from "../export/experts.js";
import { instanceOf, pathOfWeight } from "../export/outline.js";
import { tensorPlan, type Shared } from "../export/tensor-parallel.js";
import { needsOf, variantOf } from "../export/variants.js";
import { baseOf, Tensors, type Numbers } from "./kept.js";
import type { Extents, LayerMemory, Layout, MemoryOf, TrainingMemory } from "./memory.js";

export interface TorchModels {
  /** Phase infer, entry forward: the tensor parallel split is found on this model. */
  readonly forward: Model;
  /** Phase train, entry objective. */
  readonly objective: Model;
}

export interface TorchMemory {
  readonly memory: MemoryOf;
  /** Whether `parallelize.py` supports the layout: tensor parallelism must divide heads and columns evenly. */
  readonly allows: (layout: Layout) => boolean;
}

/** A part of the model whose backward pass frees activations: a member of the model's lists, or all other blocks. */
interface Unit {
  parameters: number;
  /** The largest parameter tensor: the gradient of an embedding is as large as its table. */
  largestParameter: number;
  activations: number;
  /** With recomputation, the activations that exist during the unit's own backward pass alone. */
  recomputed: number;
  largest: number;
}

/**
 * The backward pass of a unit needs a few tensors as large as the unit's largest one. Three is enough for gated
 * networks, which need the gradients of a product and of both factors.
 */
const WORKING = 3;

/** Throws ExportError for a block or a choice that the export cannot outline. */
export function torchMemory(
  { forward, objective }: TorchModels,
  extents: Extents,
  mode: CountMode = "bound",
): TorchMemory {
  const values = valuesOf(objective).toSorted((a, b) => a.id - b.id);
  const [objectiveVariant, forwardVariant] = [variantOf(objective, UNNAMED), variantOf(forward, UNNAMED)];
  const plan = tensorPlan(
    [forwardVariant, objectiveVariant],
    needsOf([forwardVariant, objectiveVariant]),
    new Stacks([forwardVariant, objectiveVariant]),
  );
  const sharedAt = (path: string): Shared | null => plan.get(path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*")) ?? null;
  const live = new Map(objective.live.map((l) => [l.name, l.default]));
  const memory = (layout: Layout, sequences: number): TrainingMemory => {
    const sizes = resolveSizes(objective.axes, { extents: extents(sequences), lengths: new Map(), live }, mode);
    const tensors = new Tensors(objective, sizes, numbersOf(layout));
    return new Estimate({ objective, values, tensors, layout, sharedAt }).memory();
  };
  const allows = ({ sharding, devices }: Layout): boolean =>
    sharding !== "tp" ||
    objective.weights.every(({ path, shape }) => {
      const shared = shape.length === 2 ? sharedAt(ownerOf(path)) : null;
      return shared === null || shape[shared.style === "columns" ? 0 : 1]! % (shared.width * devices) === 0;
    });
  return { memory, allows };
}

/** Value names are not needed, because no text is written. */
const UNNAMED = { nameOf: () => null };

/** The path of the block that owns a weight. */
const ownerOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));

function numbersOf({ precision, sharding, devices }: Layout): Numbers {
  if (precision === "f32") return "f32";
  return sharding === "fsdp" && devices > 1 ? "bf16" : "autocast";
}

/** The unit of `parallelize.py` that contains a path: a member of the model's lists; empty for other paths. */
const unitOf = (path: string): string => /^[^.]+\.\d+(?=\.|$)/.exec(instanceOf(path))?.[0] ?? "";

interface EstimateInput {
  readonly objective: Model;
  /** In order of computation. */
  readonly values: readonly Value[];
  readonly tensors: Tensors;
  readonly layout: Layout;
  readonly sharedAt: (path: string) => Shared | null;
}

/** The sums of one step, from which its peak follows. */
class Estimate {
  readonly #units = new Map<string, Unit>([["", emptyUnit()]]);
  readonly #layers = new Map<string, { parameters: number; activations: number }>();
  readonly #isSplitByTp = new Map<Value, boolean>();
  /** The operands of the losses, which have a term of their own. */
  readonly #logits: ReadonlySet<Value>;
  /** Values that are kept already: until the backward pass, and within the recomputation of a layer. */
  readonly #kept = new Set<Value>();
  readonly #recomputed = new Set<Value>();
  readonly #tpDegree: number;
  readonly #fsdpDegree: number;

  constructor(private readonly run: EstimateInput) {
    const { sharding, devices } = run.layout;
    this.#tpDegree = sharding === "tp" ? devices : 1;
    this.#fsdpDegree = sharding === "fsdp" ? devices : 1;
    const losses = run.values.filter(({ op }) => op === "cross_entropy");
    this.#logits = new Set(losses.map(({ inputs }) => baseOf(inputs[0]!)));
    for (const value of run.values) this.#addValue(value);
    for (const { path, shape, kind } of run.objective.weights) if (kind === "weight") this.#addWeight(path, shape);
  }

  /** The terms at the moment of the step at which their sum is largest. */
  memory(): TrainingMemory {
    const { objective, layout } = this.run;
    const all = [...this.#units.values()];
    const parameters = all.reduce((sum, unit) => sum + unit.parameters, 0) / this.#fsdpDegree;
    // AdamW's step counter: 4 bytes for each tensor.
    const states = 4 * objective.weights.reduce((n, w) => n + (w.kind === "state" ? countOf(w.shape) : 1), 0);
    const moments = this.#moments();
    const replicas = layout.sharding === "replicated" && layout.devices > 1;
    const peak = moments
      // DDP holds its buckets of gradients all the time.
      .map((moment) => (replicas ? { ...moment, gradients: parameters } : moment))
      .reduce((a, b) => (sumOf(b) > sumOf(a) ? b : a));
    const kept = { weights: parameters, moments: 2 * parameters, states: states + this.#inputs() };
    const { gradients, activations, gathered, rest } = peak;
    const total = kept.weights + kept.moments + kept.states + sumOf(peak);
    return { ...kept, gradients, activations, gathered, rest, total, layers: this.#listed() };
  }

  /** The moments that may be the peak: after the forward pass, in the backward pass of each unit, in the update. */
  #moments(): readonly Moment[] {
    const { layout, tensors } = this.run;
    const isSharded = this.#fsdpDegree > 1;
    const width = isSharded && layout.precision === "bf16" ? 2 : 4;
    const root = this.#units.get("")!;
    const layers = [...this.#units].flatMap(([path, unit]) => (path === "" ? [] : [unit]));
    // FSDP2 gathers what is in no layer for the whole step; its gradient is divided at the end.
    const rootWhole = isSharded ? (2 * width * root.parameters) / 4 : 0;
    const rootGradient = isSharded ? 0 : root.parameters;
    const logits = Math.max(0, ...[...this.#logits].map((value) => tensors.count(value)));
    const before = (i: number): number => layers.slice(0, i).reduce((sum, unit) => sum + unit.activations, 0);
    const after = (i: number): number =>
      layers.slice(i).reduce((sum, unit) => sum + unit.parameters, 0) / this.#fsdpDegree;
    const moments: Moment[] = [
      {
        // The gradients of the logits and of log_softmax, in f32.
        gradients: rootGradient,
        activations: root.activations + before(layers.length),
        gathered: rootWhole,
        rest: Math.max(8 * logits, WORKING * root.largest),
      },
      {
        // The embedding's gradient is dense, and FSDP2 reduces the gradients of the root in f32.
        gradients: rootGradient + after(0),
        activations: root.activations,
        gathered: rootWhole + (isSharded ? 2 * root.parameters : 0),
        rest: root.largestParameter + WORKING * root.largest,
      },
      {
        // AdamW computes the roots of the second moments of all matrices at once.
        gradients: after(0) + root.parameters / this.#fsdpDegree,
        activations: 0,
        gathered: 0,
        rest: after(0) + root.parameters / this.#fsdpDegree,
      },
    ];
    layers.forEach((unit, i) => {
      const [previous, next] = [layers[i - 1]?.parameters ?? 0, layers[i + 1]?.parameters ?? 0];
      // The layer itself, its gradient, the layer that is gathered ahead, and a buffer of reduction in f32.
      const gathered = (width / 4) * (2 * unit.parameters + previous) + Math.max(unit.parameters, next);
      moments.push({
        gradients: rootGradient + after(isSharded ? i + 1 : i),
        activations: root.activations + before(i + 1),
        gathered: isSharded ? rootWhole + gathered : 0,
        rest: unit.recomputed + WORKING * unit.largest,
      });
    });
    return moments;
  }

  #inputs(): number {
    const { objective, tensors } = this.run;
    return objective.inputs.reduce((sum, { value }) => sum + tensors.count(value) * tensors.width(value), 0);
  }

  #unit(path: string): Unit {
    const name = unitOf(path);
    const known = this.#units.get(name);
    if (known) return known;
    const unit = emptyUnit();
    this.#units.set(name, unit);
    return unit;
  }

  #layer(path: string): { parameters: number; activations: number } {
    const name = groupOf(path);
    const known = this.#layers.get(name);
    if (known) return known;
    const layer = { parameters: 0, activations: 0 };
    this.#layers.set(name, layer);
    return layer;
  }

  /** Parameters on this device, before FSDP2 divides them. */
  #addWeight(path: string, shape: readonly number[]): void {
    const bytes = 4 * countOf(shape) * (this.#isSplit(path, shape) ? 1 / this.#tpDegree : 1);
    const unit = this.#unit(path);
    unit.parameters += bytes;
    unit.largestParameter = Math.max(unit.largestParameter, bytes);
    this.#layer(path).parameters += bytes / this.#fsdpDegree;
  }

  #isSplit(path: string, shape: readonly number[]): boolean {
    const style = this.run.sharedAt(ownerOf(path))?.style;
    return this.#tpDegree > 1 && (style === "columns" || (style === "rows" && shape.length >= 2));
  }

  #addValue(value: Value): void {
    const { tensors, layout } = this.run;
    const unit = this.#unit(value.path);
    if (!isSource(value) && !this.#logits.has(baseOf(value))) unit.largest = Math.max(unit.largest, this.#bytes(value));
    const isRecomputed = layout.recompute && unitOf(value.path) !== "";
    if (isRecomputed) for (const input of value.inputs) this.#addInput(value, baseOf(input));
    for (const { value: kept, bytes } of tensors.keptBy(value)) {
      if (kept && (this.#kept.has(kept) || (isRecomputed && this.#recomputed.has(kept)))) continue;
      if (kept) (isRecomputed ? this.#recomputed : this.#kept).add(kept);
      const deviceBytes = bytes * this.#share(kept ?? value);
      if (isRecomputed) unit.recomputed += deviceBytes;
      else this.#keep(value, deviceBytes);
    }
  }

  /** With recomputation a layer keeps the values that it reads from outside. */
  #addInput(reader: Value, from: Value): void {
    if (unitOf(from.path) === unitOf(reader.path) || isSource(from) || this.#kept.has(from)) return;
    this.#kept.add(from);
    this.#keep(reader, this.#bytes(from));
  }

  #bytes(value: Value): number {
    const { tensors } = this.run;
    return tensors.count(value) * tensors.width(value) * this.#share(value);
  }

  /** This device's share of a value. */
  #share(value: Value): number {
    return this.#isDivided(value) ? 1 / this.#tpDegree : 1;
  }

  #keep(by: Value, bytes: number): void {
    this.#unit(by.path).activations += bytes;
    this.#layer(by.path).activations += bytes;
  }

  /** Whether tensor parallelism divides a value: it is between a column-split and a row-split layer. */
  #isDivided(value: Value): boolean {
    if (this.#tpDegree === 1) return false;
    const known = this.#isSplitByTp.get(value);
    if (known !== undefined) return known;
    const weight = value.op === "matmul" ? pathOfWeight(baseOf(value.inputs[1]!)) : null;
    const style = weight === null ? undefined : this.run.sharedAt(ownerOf(weight))?.style;
    const isSplit =
      style === "columns" || (style !== "rows" && !isSource(value) && value.inputs.some((x) => this.#isDivided(x)));
    this.#isSplitByTp.set(value, isSplit);
    return isSplit;
  }

  #listed(): readonly LayerMemory[] {
    return [...this.#layers].flatMap(([layer, deviceBytes]) =>
      deviceBytes.parameters === 0 && deviceBytes.activations === 0 ? [] : [{ layer, ...deviceBytes }],
    );
  }
}

const emptyUnit = (): Unit => ({ parameters: 0, largestParameter: 0, activations: 0, recomputed: 0, largest: 0 });

/** A moment of the step. */
type Moment = Readonly<Record<"gradients" | "activations" | "gathered" | "rest", number>>;
const sumOf = ({ gradients, activations, gathered, rest }: Moment): number => gradients + activations + gathered + rest;

const isSource = ({ op }: Value): boolean =>
  op === "input" || op === "weight" || op === "state" || op === "number" || op === "live" || op === "expert_weight";
