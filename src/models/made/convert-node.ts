// Converts a dense checkpoint to a Mixture-of-Depths model that initially computes the same function: model text,
// weights, tokenizer. Node only.
import { countOf } from "../../ground/base/collections.js";
import { check } from "../../language/check/check.js";
import { bug, invariant } from "../../ground/base/invariant.js";
import { asProgramWeight, type ProgramWeight } from "../../runtime/program/program.js";
import { initialWeightsInTurns } from "../../runtime/weights/init.js";
import { readingInTurns } from "../../runtime/weights/in-turns.js";
import { storedEntry } from "../../runtime/weights/parts.js";
import { matchWeights, readWeight, type Words } from "../../runtime/index.js";
import { saveWeights } from "../../runtime/node.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import { decoderSource, type Routing } from "../families/source/decoder.js";
import { DISTILL_FILE, distillSource, TEACHER_FILE, teacherSource } from "../families/source/distill.js";
import { CheckpointError } from "../families/description/errors.js";
import { MODEL_FILE } from "../families/files-node.js";
import type { OpenedModel } from "../opened/model.js";
import { expectFree, floatsLike, noWeights, writeModelFolder, yieldToEvents } from "./model-folder-node.js";

export interface ConvertOptions {
  readonly routing: Routing;
  /** Seed of the predictors' inner weights, which the dense model does not determine. */
  readonly seed: number;
  /** Whether to write the dense model beside the routed one too, and the objective of its distillation. */
  readonly teacher?: boolean;
}

export interface Converted {
  /** The model's name. */
  readonly model: string;
  /** The number of layers, and of routed layers. */
  readonly layers: number;
  readonly routed: number;
  /** The number of all parameters, and of new parameters. */
  readonly parameters: number;
  readonly added: number;
}

/**
 * The initial logits of a predictor: sigmoid(2) = 0.88, so that every token is kept, and training can soon change the
 * decision.
 */
const KEEP_LOGIT = 2;

/**
 * Initial values of new weights: zero scores, so that each gate is 1 + 0.2 · tanh(0) = 1, and predictors that keep
 * every token. Other new weights are drawn from the seed.
 */
const INITIAL_VALUES: readonly (readonly [ending: string, value: number])[] = [
  [".router.weight", 0],
  [".guess.down.weight", 0],
  [".guess.down.bias", KEEP_LOGIT],
];

/** Whether a weight belongs to the routing, and so is missing in the dense model. */
const isNew = ({ path }: { readonly path: string }): boolean => /^layers\.\d+\.(?:router|guess)\./.test(path);

/**
 * Writes a folder that commands open like the dense model, which a configuration describes. The folder appears complete
 * or not at all. Throws CheckpointError and WeightsError.
 */
export async function convertModel(
  dense: OpenedModel,
  output: string,
  { routing, seed, teacher = false }: ConvertOptions,
): Promise<Converted> {
  expectFree(output);
  const { path: folder, weights: stored } = dense;
  const config = dense.describe() ?? bug(`${folder} has no configuration`);
  if (routing.every > config.depth)
    throw new CheckpointError(
      "bad-option",
      `every is ${routing.every}: ${folder} has ${config.depth} layers, so no layer would be routed`,
    );
  if (config.head || !config.family.causal)
    throw new CheckpointError(
      "bad-option",
      `${folder} is a ${config.head?.architecture ?? config.family.architecture}: ` +
        "modc routes the layers of decoders that predict tokens",
    );
  if (config.loops)
    throw new CheckpointError(
      "bad-option",
      `the layers of ${folder} run in loops that tokens leave: modc cannot route them`,
    );
  if (stored === null) throw noWeights(folder);
  const text = decoderSource(config, routing);
  const { model } = check({ file: MODEL_FILE, text }, { phase: "infer", read: () => null });
  invariant(model !== null, "the routed model of a configuration does not check");
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const stateNames = new Set(model.weights.flatMap((w) => (w.kind === "state" ? [w.path] : [])));
  const more = teacher
    ? [[TEACHER_FILE, teacherSource(config)] as const, [DISTILL_FILE, distillSource(config, MODEL_FILE)] as const]
    : [];
  const write = async (to: string): Promise<void> =>
    writeWeights(await stored.source(), to, { weights, ignore: model.ignore, kept: stateNames }, seed);
  await writeModelFolder(output, dense, text, write, more);
  const count = (some: readonly ProgramWeight[]): number => some.reduce((sum, w) => sum + countOf(w.shape), 0);
  return {
    model: model.name,
    layers: config.depth,
    routed: Math.floor(config.depth / routing.every),
    parameters: count(weights),
    added: count(weights.filter(isNew)),
  };
}

/**
 * Writes the weights of the converted model: in F16 or BF16 if all the checkpoint's weights have that dtype, else in
 * F32. States stay in F32.
 */
async function writeWeights(
  source: WeightSource,
  to: string,
  {
    weights,
    ignore,
    kept,
  }: {
    readonly weights: readonly ProgramWeight[];
    readonly ignore: readonly string[];
    readonly kept: ReadonlySet<string>;
  },
  seed: number,
): Promise<void> {
  const matched = matchWeights({ weights: weights.filter((w) => !isNew(w)), ignore }, source);
  const stored = weights.flatMap((w) =>
    isNew(w) || kept.has(w.path) ? [] : matched.get(w)!.map((key) => storedEntry(source.tensors, key)!.dtype),
  );
  const floats = floatsLike(stored);
  const fromSeed = initialWeightsInTurns(seed, yieldToEvents);
  const values = (weight: ProgramWeight): Words | Promise<Words> => {
    if (!isNew(weight)) return readWeight(weight, matched.get(weight)!, source, readingInTurns(yieldToEvents));
    const start = INITIAL_VALUES.find(([ending]) => weight.path.endsWith(ending));
    return start === undefined ? fromSeed(weight) : new Float32Array(countOf(weight.shape)).fill(start[1]);
  };
  await saveWeights(to, { weights }, values, { floats, kept });
}
