// Plans training: what each variant of a model costs, what a budget of operations or tokens pays for, what it takes of
// memory, and which larger model its savings pay for.
import { once } from "../../ground/base/once.js";
import { ledger, type Convention, type Ledger } from "../../compiler/cost/ledger.js";
import type { Model } from "../../language/check/model.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { lossBy, type Curve } from "./curve.js";
import { BudgetError } from "./errors.js";
import { grown, stepsOfGrowth, type Growth } from "./larger.js";
import {
  fewestDevices,
  mostSequences,
  PRECISIONS,
  SHARDINGS,
  trainingMemory,
  type Layout,
  type MemoryOf,
  type TrainingMemory,
} from "./memory.js";
import { open, type ModelSource, type Opened, type Training } from "./opened.js";
import { torchMemory } from "./torch/step.js";
import { variantsOf, type Parameters } from "./variants.js";

export interface PlanOptions {
  /** Operations or tokens to train with; null: none is given, and no number of steps is told. */
  readonly budget: { readonly flops: number } | { readonly tokens: number } | null;
  /** Sequences of a step, on all devices together, and tokens of each. */
  readonly batch: number;
  readonly length: number;
  readonly devices: number;
  /** Bytes of each device; null: not given, and nothing is held against it. */
  readonly memory: number | null;
  readonly varied: ReadonlyMap<string, readonly string[]>;
  /** What grows where savings pay for a larger model; null: `depth`, where the model has one; empty: nothing. */
  readonly growth: Growth | null;
  /**
   * `mor`: as the Mixture-of-Recursions paper counts, forward passes alone, which are what the budget then pays for.
   */
  readonly convention: Convention;
  readonly curve: Curve | null;
  /** Whose training the memory is of: modc's own, or that of the folder that `modc export --to torch` writes. */
  readonly engine: Engine;
}

export type Engine = "modc" | "torch";

/** Operations a token: executed, and with nothing skipped. */
export interface Operations {
  readonly executed: number;
  readonly dense: number;
}

export interface MemoryRow extends Layout {
  readonly use: TrainingMemory;
  /** The same with no token skipped. */
  readonly dense: TrainingMemory;
  /** The most sequences on a device (`tp`: on all together), and for the dense model; null without a given memory. */
  readonly sequences: { readonly executed: number; readonly dense: number } | null;
  /** The fewest devices that hold the training of a sequence each; null where none do, or without a given memory. */
  readonly fewest: number | null;
}

export interface LargerModel {
  readonly set: Parameters;
  readonly parameters: number;
  /** Its parameters over those of the variant: all, and those outside embeddings and head. */
  readonly ratio: number;
  readonly innerRatio: number;
  readonly operations: number;
}

export interface PlannedVariant {
  readonly set: Parameters;
  readonly parameters: number;
  /** Of them, outside embeddings and head. */
  readonly inner: number;
  readonly forward: Operations;
  /** Of a training step, for each of its tokens; `counted` false: the model has no objective, thrice a forward pass. */
  readonly training: Operations & { readonly counted: boolean };
  /** Null without a budget. Steps are rounded to the nearest. */
  readonly pays: {
    readonly steps: number;
    readonly tokens: number;
    readonly operations: number;
    /** Steps of the dense model for the same budget. */
    readonly denseSteps: number;
    readonly tokensPerParameter: number;
  } | null;
  readonly loss: number | null;
  /** By the causal rule, predictors included, on average over a text; null where the model cannot generate. */
  readonly generation: {
    readonly operations: Operations;
    /** Bytes of the cache of a text of this length, in f32. */
    readonly cache: Operations;
  } | null;
  /** Empty where the model has no objective. */
  readonly memory: readonly MemoryRow[];
  /** The model of as many operations a token as the dense one; null where nothing is saved, or nothing can grow. */
  readonly larger: LargerModel | null;
  /**
   * The model whose training takes as much memory as the dense one's, in f32, by `fsdp` on several devices; null too
   * without a given memory.
   */
  readonly largerInMemory: LargerModel | null;
}

export interface BudgetPlan {
  readonly model: string;
  /** Tokens of a sequence. */
  readonly length: number;
  readonly variants: readonly PlannedVariant[];
}

/**
 * Without a length it is the longest that all variants allow, where they have a bound; else 2048 tokens. Throws
 * SourceError for a variant that the checker refuses, BudgetError for what no plan meets.
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

/** The account of some sequences of the planned length. Throws BudgetError for a model with other input axes. */
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
        throw new BudgetError(
          `${model.name} has the axis ${axis.name}: only models of sequences of tokens are planned`,
        );
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
        ? `${budget.flops} operations do not pay for one step, which takes ${(executed * step).toPrecision(4)}`
        : `${budget.tokens} tokens are fewer than the ${step} of a step`,
      "give a larger budget, or a smaller --batch or --length",
    );
  const [steps, denseSteps] = [Math.round(paying(executed)), Math.round(paying(dense))];
  return { steps, tokens: steps * step, operations: steps * step * executed, denseSteps };
}

/** The memory of training by an engine as it is, and with no token skipped. */
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

/** The larger models that savings of operations, and of memory, pay for. */
function largerModels(
  from: ModelSource,
  opened: Opened,
  own: Ledger,
  options: PlanOptions,
): Pick<PlannedVariant, "larger" | "largerInMemory"> {
  const { parameters } = opened.forward().model;
  const growth = options.growth ?? (parameters.some((p) => p.name === "depth") ? new Map([["depth", 1]]) : null);
  if (growth === null || growth.size === 0) return { larger: null, largerInMemory: null };
  grown(parameters, growth, 0); // what cannot grow is told even where nothing is saved
  const after = (steps: number): Opened =>
    steps === 0 ? opened : open({ ...from, set: { ...from.set, ...grown(parameters, growth, steps) } });
  const grownTo = (steps: number): LargerModel => {
    const found = ledgerOf(after(steps).forward(), 1, options);
    return {
      set: grown(parameters, growth, steps),
      parameters: found.total.parameters,
      ratio: found.total.parameters / own.total.parameters,
      innerRatio: innerOf(found) / innerOf(own),
      operations: perToken(found).executed,
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
  // A grown model has the objective of the one that grew.
  const by = (of: Opened): ReturnType<typeof memoryBy> => memoryBy(of, of.training()!, options);
  return largest((of) => by(of).own(layout, sequences).total, by(opened).dense()(layout, sequences).total);
}

/** Throws BudgetError where a memory is given and no variant fits it in any layout, on however many devices. */
/** Fewer bytes no accelerator has. */
const LEAST_DEVICE = 2 ** 20;

function expectRoom(variants: readonly PlannedVariant[], { memory, devices }: PlanOptions): void {
  const rows = variants.flatMap((v) => v.memory);
  if (memory === null || rows.length === 0) return;
  if (rows.some((row) => row.sequences!.executed > 0)) return;
  const least = Math.min(...rows.flatMap((row) => row.fewest ?? []));
  throw new BudgetError(
    `no variant can be trained in ${formatBytes(memory)} on ${devices === 1 ? "one device" : `${devices} devices`}`,
    Number.isFinite(least) && least > devices
      ? `${least} devices would hold a sequence each`
      : memory < LEAST_DEVICE
        ? "the number is of bytes: 80GiB has its unit"
        : devices === 1
          ? "more --devices divide the model; a shorter --length takes less"
          : "a shorter --length takes less",
  );
}
