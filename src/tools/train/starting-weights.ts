// Finds the weights from which a run starts: initialized from the seed, or a checkpoint's, completed from the seed if
// some are missing; and the base of checkpoints that hold trained weights only.
import type { ProgramWeight } from "../../runtime/program/program.js";
import { describeBase, type BaseRecord } from "../../runtime/weights/base-node.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { locateWeights, type WeightsInput, type WeightValues } from "../../runtime/weights/weights.js";
import type { Words } from "../../runtime/index.js";
import { matchPresent, type PartlyMatched } from "../../runtime/weights/match.js";
import { withStartingValues } from "../../runtime/weights/overlay.js";
import type { ModelWeights } from "../../models/opened/model.js";
import { TrainError } from "./errors.js";
import { trainOptions, type TrainSettings } from "./options.js";
import { listed, weightsMatching } from "./patterns.js";
import type { TrainingModel } from "./model.js";
import type { RunModel } from "./run-options.js";

type Weighted = Pick<RunModel, "weights" | "ignore">;

export interface StartingWeights {
  /** Null: all are initialized from the seed. */
  readonly weights: WeightsInput | null;
  /** The weights that checkpoints omit; null: none. */
  readonly base: BaseRecord | null;
  /** A remark about the weights, as a sentence; null: none. */
  readonly note: string | null;
  /** The starting value of one weight: from `weights`, or from the seed. */
  readonly value: (weight: ProgramWeight, seed: number) => Promise<Words>;
  close(): Promise<void>;
}

/**
 * Checks, before anything is compiled, that weights fit the model. Opens weights of which some are missing, and weights
 * that are the base of checkpoints. Throws WeightsError and TrainError.
 */
export async function openStartingWeights(
  model: Pick<TrainingModel, "run" | "learned">,
  weights: ModelWeights | null,
  settings: Partial<TrainSettings>,
): Promise<StartingWeights> {
  expectFrozen(weights, settings);
  const opened = await openedBy(model, weights, settings);
  let located: Promise<WeightValues> | null = null;
  return {
    ...opened,
    value: async (weight, seed) =>
      (await (located ??= locateWeights(model.run, opened.weights ?? undefined, seed))).values(weight),
    close: async () => (await located?.catch(() => null))?.close(),
  };
}

async function openedBy(
  model: Pick<TrainingModel, "run" | "learned">,
  weights: ModelWeights | null,
  settings: Partial<TrainSettings>,
): Promise<Pick<StartingWeights, "weights" | "base" | "note">> {
  const { run } = model;
  const { initMissing = false, save = "all", seed = Number(trainOptions.seed.usual) } = settings;
  if (!initMissing && save === "all")
    return { weights: weights && (await fitting(run, weights)), base: null, note: null };
  if (save === "trained") expectBase(weights, settings);
  if (weights === null)
    throw new TrainError("bad-option", "initMissing has no effect: no weights are given", {
      hint: "leave it out, or give --weights: without weights all start from the seed",
    });
  if (weights.origin !== "tensors")
    throw new TrainError("bad-option", "initMissing needs a file of weights", {
      hint: "download the weights first",
    });
  if (!initMissing) await fitting(run, weights);
  const source = await weights.source();
  const { matched, missing } = matchPresent(run, source);
  const base =
    save === "trained" && weights.place !== null
      ? {
          ...(await describeBase(weights.place)),
          ...ownKeys(storedIn(model, settings.only ?? ""), { matched, missing }),
        }
      : null;
  return {
    weights: missing.size === 0 ? source : withStartingValues(source, missing, seed),
    base,
    note: initMissing ? noteOf(source.name, missing, { of: run.weights.length, seed }) : null,
  };
}

/** Throws TrainError if unchanged weights cannot be stored in their type. */
function expectFrozen(weights: ModelWeights | null, { precision = "f32", only = "" }: Partial<TrainSettings>): void {
  if (precision === "f32") return;
  if (only === "")
    throw new TrainError(
      "bad-option",
      `precision is ${precision}, but all weights are trained, and trained weights are f32`,
      {
        hint: "choose the weights to train with --only, or convert them after training with modc init --weights-as",
      },
    );
  if (weights?.origin === "download")
    throw new TrainError("bad-option", `precision is ${precision}, which needs weights in a file`, {
      hint: "download the weights first: several programs read the frozen weights",
    });
}

/** Throws TrainError where checkpoints of trained weights would have no base, or leave nothing out. */
function expectBase(weights: ModelWeights | null, { only = "" }: Partial<TrainSettings>): void {
  if (only === "")
    throw new TrainError(
      "bad-option",
      "save is trained, but all weights are trained: checkpoints would leave nothing out",
      {
        hint: "choose the weights to train with --only",
      },
    );
  if (!weights || weights.place === null || weights.origin !== "tensors" || /^file:/i.test(weights.place))
    throw new TrainError(
      "bad-option",
      "save is trained, but there is no file of base weights for the checkpoints to complete",
      {
        hint: "give --weights, a file or folder; modc init writes starting weights",
      },
    );
}

/** Whether checkpoints must hold a weight themselves: it is trained, or a state, which every step changes. */
function storedIn(
  { learned }: Pick<TrainingModel, "learned">,
  only: string,
): (weight: { readonly path: string }) => boolean {
  const [weights, trained] = [new Set(learned), weightsMatching(only)];
  return (weight) => !weights.has(weight.path) || trained(weight);
}

/**
 * `keys`: the key of each weight that checkpoints store because it is trained or missing in the base. `hidden`: the
 * keys of the base that these weights replace.
 */
function ownKeys(
  stored: (weight: ProgramWeight) => boolean,
  { matched, missing }: PartlyMatched,
): Pick<BaseRecord, "keys" | "hidden"> {
  const keys = Object.create(null) as Record<string, string>; // any path is allowed
  const hidden: string[] = [];
  for (const [weight, found] of matched) {
    const key = missing.get(weight) ?? (stored(weight) ? found[0] : undefined);
    if (key === undefined) continue;
    keys[weight.path] = key;
    hidden.push(...found);
  }
  return { keys, hidden };
}

function noteOf(
  name: string,
  missing: PartlyMatched["missing"],
  { of, seed }: { readonly of: number; readonly seed: number },
): string {
  if (missing.size === 0) return `${name} has every weight: none is initialised`;
  const paths = [...missing.keys()].map(({ path }) => path);
  return `${missing.size} of ${of} weights are not in ${name} and start from seed ${seed}: ${listed(paths)}`;
}

/** Weights that fit a model. If some are missing and nothing else is wrong, the hint of the WeightsError says so. */
async function fitting(model: Weighted, weights: ModelWeights): Promise<WeightsInput> {
  try {
    return await weights.fitted(model);
  } catch (fault) {
    const { tensors } = fault instanceof WeightsError ? fault : { tensors: null };
    if (!(fault instanceof WeightsError) || tensors === null || !lacksOnly(model, tensors)) throw fault;
    throw new WeightsError(fault.message, {
      hint: "use --init-missing to initialise missing weights from the seed",
      tensors,
      cause: fault,
    });
  }
}

/** Whether a file has some of the weights, and no tensor that does not fit. */
function lacksOnly(model: Weighted, tensors: NonNullable<WeightsError["tensors"]>): boolean {
  try {
    return matchPresent(model, { tensors, name: "" }).missing.size < model.weights.length;
  } catch (fault) {
    if (fault instanceof WeightsError) return false;
    throw fault;
  }
}
