// Plans training: the cost of each model variant, the number of steps that a budget pays for, the memory needed, and
// the larger model that the savings pay for.
import { once } from "../../ground/base/once.js";
import { ledger, type Convention, type Ledger } from "../../compiler/cost/ledger.js";
import type { Model } from "../../language/check/model/model.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { lossBy, type Curve } from "./curve.js";
import { BudgetError } from "./errors.js";
import {
  fewestDevices,
  mostSequences,
  PRECISIONS,
  SHARDINGS,
  trainingMemory,
  type Layout,
  type MemoryOf,
  type TrainingMemory,
  largestWhere,
} from "./memory.js";
import { open, type ModelSource, type Opened, type Training, variantsOf, type Parameters } from "./opened.js";
import { torchMemory } from "./torch.js";

export interface PlanOptions {
  /** Operations or tokens to train with; null: no budget, so no number of steps is reported. */
  readonly budget: { readonly flops: number } | { readonly tokens: number } | null;
  /** Sequences per step on all devices together, and tokens per sequence. */
  readonly batch: number;
  readonly length: number;
  readonly devices: number;
  /** Bytes per device; null: no limit is checked. */
  readonly memory: number | null;
  readonly varied: ReadonlyMap<string, readonly string[]>;
  /**
   * Parameters that grow when searching the larger model; null: `depth`, if the model has a parameter `depth`; empty:
   * no search.
   */
  readonly growth: Growth | null;
  /**
   * `mor`: counts as the Mixture-of-Recursions paper does, forward passes only. The budget then pays for forward
   * passes.
   */
  readonly convention: Convention;
  readonly curve: Curve | null;
  /** The engine whose training memory is estimated: modc, or the folder written by `modc export --to torch`. */
  readonly engine: Engine;
}

export type Engine = "modc" | "torch";

/** Operations per token, as executed and with no token skipped. */
export interface Operations {
  readonly executed: number;
  readonly dense: number;
}

export interface MemoryRow extends Layout {
  readonly use: TrainingMemory;
  /** The same memory with no token skipped. */
  readonly dense: TrainingMemory;
  /**
   * The largest number of sequences per device (with `tp`: on all devices), for the variant and the dense model. Null
   * if `memory` is null.
   */
  readonly sequences: { readonly executed: number; readonly dense: number } | null;
  /**
   * The smallest number of devices that can train with one sequence each. Null if no number suffices or `memory` is
   * null.
   */
  readonly fewest: number | null;
}

export interface LargerModel {
  readonly set: Parameters;
  readonly parameters: number;
  /** The parameter count divided by the variant's: for all parameters, and without embeddings and head. */
  readonly ratio: number;
  readonly innerRatio: number;
  readonly operations: number;
}

export interface PlannedVariant {
  readonly set: Parameters;
  readonly parameters: number;
  /** Parameters outside embeddings and head. */
  readonly inner: number;
  readonly forward: Operations;
  /**
   * Training operations per token. If `counted` is false, the model has no objective, and three forward passes are
   * assumed.
   */
  readonly training: Operations & { readonly counted: boolean };
  /** Null without a budget. Steps are rounded to the nearest integer. */
  readonly pays: {
    readonly steps: number;
    readonly tokens: number;
    readonly operations: number;
    /** Steps of the dense model for the same budget. */
    readonly denseSteps: number;
    readonly tokensPerParameter: number;
  } | null;
  readonly loss: number | null;
  /**
   * Generation by the causal rule, including predictors, averaged over a sequence. Null if the model cannot generate.
   */
  readonly generation: {
    readonly operations: Operations;
    /** Bytes of the f32 cache for a sequence of this length. */
    readonly cache: Operations;
  } | null;
  /** Empty if the model has no objective. */
  readonly memory: readonly MemoryRow[];
  /** The larger model with the dense model's operations per token. Null if nothing is saved or nothing can grow. */
  readonly larger: LargerModel | null;
  /**
   * The larger model with the dense model's training memory, in f32, with `fsdp` on several devices. Null also if
   * `memory` is null.
   */
  readonly largerInMemory: LargerModel | null;
}

export interface BudgetPlan {
  readonly model: string;
  /** Tokens per sequence. */
  readonly length: number;
  readonly variants: readonly PlannedVariant[];
}

/**
 * Without a length, the longest length that all variants allow is planned, or 2048 tokens if there is no bound.
 * Throws SourceError for a variant with errors, and BudgetError if no plan satisfies the options.
 */
export function planBudget(
  from: ModelSource,
  given: Omit<PlanOptions, "length"> & { readonly length: number | null },
): BudgetPlan {
  const varied = new Set(given.varied.keys());
  const all = variantsOf(given.varied).map((set) => {
    const source = { ...from, set: { ...from.set, ...set }, varied };
    return { set, source, opened: open(source) };
  });
  const options = { ...given, length: given.length ?? Math.min(...all.map(({ opened }) => usualLength(opened))) };
  const variants = all.map(({ set, source, opened }) => planned(source, opened, set, options));
  expectRoom(variants, options);
  return { model: all[0]!.opened.forward().model.name, length: options.length, variants };
}

function usualLength(opened: Opened): number {
  const { axes } = opened.forward().model;
  const bounds = axes.flatMap((a) => (a.role === "sequence" && a.count.kind === "input" ? [a.bound ?? 2048] : []));
  return Math.min(...bounds, bounds.length === 0 ? 1 : Infinity);
}

function planned(from: ModelSource, opened: Opened, set: Parameters, options: PlanOptions): PlannedVariant {
  const forward = ledgerOf(opened.forward(), 1, options);
  const training = trainingOf(opened, forward, options);
  const pays = paidBy(options, training);
  const parameters = forward.total.parameters;
  const causal = opened.causal();
  const generated = causal && ledgerOf(causal, 1, options);
  return {
    set,
    parameters,
    inner: innerOf(forward),
    forward: perToken(forward),
    training,
    pays: pays && { ...pays, tokensPerParameter: pays.tokens / parameters },
    loss: options.curve && pays && lossBy(options.curve, parameters, pays.tokens),
    generation: generated && {
      operations: perToken(generated),
      cache: { executed: generated.total.executed.cache, dense: generated.total.dense.cache },
    },
    memory: memoryRows(opened, options),
    ...largerModels(from, opened, forward, options),
  };
}

/** Counts operations for some sequences of the planned length. Throws BudgetError for a model with other input axes. */
function ledgerOf(
  { graph, model }: ReturnType<Opened["forward"]>,
  sequences: number,
  { length, convention }: Pick<PlanOptions, "length" | "convention">,
): Ledger {
  return ledger(graph, model, { extents: extentsOf(model, sequences, length), convention });
}

function extentsOf(model: Model, sequences: number, length: number): ReadonlyMap<string, number> {
  const open = model.axes.filter((axis) => axis.role !== "sequence" || axis.count.kind === "input");
  return new Map(
    open.map((axis) => {
      if (axis.role === "batch") return [axis.name, sequences];
      if (axis.role !== "sequence")
        throw new BudgetError(`${model.name} has the axis ${axis.name}: modc plans only models of token sequences`);
      if (axis.bound !== null && length > axis.bound)
        throw new BudgetError(`--length ${length}: ${model.name} allows ${axis.bound}`);
      return [axis.name, length];
    }),
  );
}

const perToken = ({ total, tokens }: Ledger): Operations => ({
  executed: total.executed.flops / tokens,
  dense: total.dense.flops / tokens,
});

const innerOf = ({ total, embeddingParameters, headParameters }: Ledger): number =>
  total.parameters - embeddingParameters - headParameters;

function trainingOf(opened: Opened, forward: Ledger, options: PlanOptions): PlannedVariant["training"] {
  const { executed, dense } = perToken(forward);
  if (options.convention === "mor") return { executed, dense, counted: true };
  const training = opened.training();
  if (!training) return { executed: 3 * executed, dense: 3 * dense, counted: false };
  return { ...perToken(ledgerOf(training, options.batch, options)), counted: true };
}

function paidBy({ budget, batch, length }: PlanOptions, { executed, dense }: Operations) {
  if (budget === null) return null;
  const step = batch * length;
  const paying = (perToken: number): number =>
    "flops" in budget ? budget.flops / (perToken * step) : budget.tokens / step;
  if (paying(executed) < 1 - 1e-12)
    throw new BudgetError(
      "flops" in budget
        ? `${budget.flops} operations are fewer than one step needs: ${(executed * step).toPrecision(4)}`
        : `${budget.tokens} tokens are fewer than the ${step} in a step`,
      "give a larger budget, or a smaller --batch or --length",
    );
  const [steps, denseSteps] = [Math.round(paying(executed)), Math.round(paying(dense))];
  return { steps, tokens: steps * step, operations: steps * step * executed, denseSteps };
}

/** Training memory in the chosen engine, as executed and with no token skipped. */
function memoryBy(opened: Opened, training: Training, { engine, length }: Pick<PlanOptions, "engine" | "length">) {
  const extents = (sequences: number): ReadonlyMap<string, number> => extentsOf(training.model, sequences, length);
  if (engine === "torch") {
    const models = { forward: opened.forward().model, objective: training.model };
    const { memory, allows } = torchMemory(models, extents);
    return { own: memory, dense: once(() => torchMemory(models, extents, "dense").memory), allows };
  }
  const dense = once(() => trainingMemory(training.dense(), extents, "dense"));
  return { own: trainingMemory(training, extents), dense, allows: () => true };
}

function memoryRows(opened: Opened, options: PlanOptions): readonly MemoryRow[] {
  const training = opened.training();
  if (!training) return [];
  const { batch, devices, memory } = options;
  const { own, dense, allows } = memoryBy(opened, training, options);
  const layouts = SHARDINGS.filter((sharding) => sharding === "replicated" || devices > 1).flatMap((sharding) =>
    PRECISIONS.flatMap((precision) =>
      [false, true].map((recompute): Layout => ({ sharding, precision, recompute, devices })),
    ),
  );
  return layouts.filter(allows).map((layout) => {
    const sequences = layout.sharding === "tp" ? batch : Math.ceil(batch / devices);
    const most = (of: MemoryOf): number => mostSequences(of, layout, memory!);
    return {
      ...layout,
      use: own(layout, sequences),
      dense: dense()(layout, sequences),
      sequences: memory === null ? null : { executed: most(own), dense: most(dense()) },
      fewest: memory === null ? null : fewestDevices(own, layout, memory, allows),
    };
  });
}

/** The larger models that the saved operations, and the saved memory, pay for. */
function largerModels(
  from: ModelSource,
  opened: Opened,
  own: Ledger,
  options: PlanOptions,
): Pick<PlannedVariant, "larger" | "largerInMemory"> {
  const { parameters } = opened.forward().model;
  const growth = options.growth ?? (parameters.some((p) => p.name === "depth") ? new Map([["depth", 1]]) : null);
  if (growth === null || growth.size === 0) return { larger: null, largerInMemory: null };
  grown(parameters, growth, 0); // reports parameters that cannot grow, even if nothing is saved
  const after = (steps: number): Opened =>
    steps === 0 ? opened : open({ ...from, set: { ...from.set, ...grown(parameters, growth, steps) } });
  const grownTo = (steps: number): LargerModel => {
    const costs = ledgerOf(after(steps).forward(), 1, options);
    return {
      set: grown(parameters, growth, steps),
      parameters: costs.total.parameters,
      ratio: costs.total.parameters / own.total.parameters,
      innerRatio: innerOf(costs) / innerOf(own),
      operations: perToken(costs).executed,
    };
  };
  const largest = (cost: (of: Opened) => number, target: number): LargerModel | null => {
    if (cost(opened) >= target) return null;
    const steps = stepsOfGrowth((n) => cost(after(n)), target);
    return steps === 0 ? null : grownTo(steps);
  };
  return {
    larger: largest((of) => perToken(ledgerOf(of.forward(), 1, options)).executed, perToken(own).dense),
    largerInMemory: opened.training() && options.memory !== null ? inMemory(opened, largest, options) : null,
  };
}

function inMemory(
  opened: Opened,
  largest: (cost: (of: Opened) => number, target: number) => LargerModel | null,
  options: PlanOptions,
): LargerModel | null {
  const { batch, devices } = options;
  const layout: Layout = {
    sharding: devices > 1 ? "fsdp" : "replicated",
    precision: "f32",
    recompute: false,
    devices,
  };
  const sequences = Math.ceil(batch / devices);
  // A grown model has an objective if the original model has one.
  const memoryFor = (of: Opened): ReturnType<typeof memoryBy> => memoryBy(of, of.training()!, options);
  return largest(
    (of) => memoryFor(of).own(layout, sequences).total,
    memoryFor(opened).dense()(layout, sequences).total,
  );
}

/** Every accelerator has at least this much memory. */
const LEAST_DEVICE = 2 ** 20;

/** Throws BudgetError if a memory size is given and no variant fits in any layout on any number of devices. */
function expectRoom(variants: readonly PlannedVariant[], { memory, devices }: PlanOptions): void {
  const rows = variants.flatMap((v) => v.memory);
  if (memory === null || rows.length === 0) return;
  if (rows.some((row) => row.sequences!.executed > 0)) return;
  const least = Math.min(...rows.flatMap((row) => row.fewest ?? []));
  throw new BudgetError(
    `no variant can be trained in ${formatBytes(memory)} on ${devices === 1 ? "one device" : `${devices} devices`}`,
    Number.isFinite(least) && least > devices
      ? `${least} devices would have room for a sequence each`
      : memory < LEAST_DEVICE
        ? "the number means bytes: write a unit, such as 80GiB"
        : devices === 1
          ? "use more --devices to divide the model, or a shorter --length"
          : "use a shorter --length",
  );
}

// Finds the larger model that saved operations or memory pay for. Mixture-of-Depths argues that a model that skips
// tokens should be compared with a dense model of equal cost, not of equal size (Raposo et al. 2024, arXiv 2404.02258).

/** How much each parameter grows per step. */
type Growth = ReadonlyMap<string, number>;

/** Each growing parameter after `steps` steps of growth, starting from the model's values. Throws BudgetError. */
function grown(
  parameters: readonly { readonly name: string; readonly value: string }[],
  growth: Growth,
  steps: number,
): Parameters {
  return Object.fromEntries(
    [...growth].map(([name, by]) => {
      const own = parameters.find((p) => p.name === name);
      if (!own)
        throw new BudgetError(
          `the model has no parameter ${name} to grow`,
          `it has ${parameters.map((p) => p.name).join(", ") || "none"}`,
        );
      const value = Number(own.value);
      if (!Number.isInteger(value)) throw new BudgetError(`${name} is ${own.value}: only whole numbers can grow`);
      return [name, String(value + steps * by)];
    }),
  );
}

/** The limit for growth steps; a model grown further would no longer be comparable. */
const MOST_STEPS = 1024;

/** The largest number of growth steps whose cost is within the target. The cost must increase with the steps. */
export function stepsOfGrowth(costAfter: (steps: number) => number, target: number): number {
  const known = new Map<number, number>();
  const cost = (steps: number): number => {
    const stepCost = known.get(steps) ?? costAfter(steps);
    known.set(steps, stepCost);
    return stepCost;
  };
  const within = (steps: number): boolean => cost(steps) <= target * (1 + 1e-12);
  const slope = cost(1) - cost(0);
  // Most costs are linear in the number of layers, so the intersection with the target is tried first.
  const guess = slope > 0 ? Math.min(MOST_STEPS, Math.floor((target * (1 + 1e-12) - cost(0)) / slope)) : 0;
  if (guess > 0 && within(guess) && !within(guess + 1)) return guess;
  return largestWhere(within, MOST_STEPS);
}
