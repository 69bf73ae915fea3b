// `modc init`: writes a model's starting weights to a safetensors file, or the weights of a checkpoint or a folder in
// another storage type.
import { countOf } from "../../../ground/base/collections.js";
import { BLOCKS_OF, isBlockEncoding } from "../../../runtime/program/encodings/block-file.js";
import { asProgramWeight, type ProgramWeight } from "../../../runtime/program/program.js";
import { initialWeightsInTurns } from "../../../runtime/weights/init.js";
import { readWeight, type Words } from "../../../runtime/index.js";
import { saveWeights, type SaveOptions } from "../../../runtime/node.js";
import { readingInTurns } from "../../../runtime/weights/in-turns.js";
import { pathsInBlocks } from "../../../runtime/weights/stored.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { tellLost } from "../source/trained.js";
import { turn } from "../terminal/ending.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { checkFile, compileFile } from "../source/frontend.js";
import { printReport } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

/**
 * A folder's own weights, unless others or a seed are given. Starting values are the same on every machine: they depend
 * on the seed and on each weight's path alone.
 */
export async function init(opened: OpenedModel, flags: Flags<typeof weightCommands.init>): Promise<ExitCode> {
  if (flags.weights !== undefined && flags.seed !== undefined)
    throw misuse("--weights and --seed exclude each other", "give one of them");
  const { seed = 0 } = flags;
  const given = flags.seed === undefined ? opened.weights : null;
  const from = given?.place ?? null;
  const { model } = await checkFile(opened, flags);
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const stored = await storedAs(opened, flags);
  const save = (values: (weight: ProgramWeight) => Words | Promise<Words>): Promise<void> =>
    saveWeights(flags.output, { weights }, values, {
      keys: flags.paths ? "paths" : "mapped",
      kept: new Set(model.weights.flatMap((w) => (w.kind === "state" ? [w.path] : []))),
      ...stored,
    });
  if (given === null) await save(initialWeightsInTurns(seed, turn));
  else {
    const source = await given.source();
    const matched = source.match({ weights, ignore: model.ignore });
    await save((weight) => readWeight(weight, matched.get(weight)!, source, readingInTurns(turn)));
  }
  const [learned, states] = [
    model.weights.filter((w) => w.kind === "weight"),
    model.weights.filter((w) => w.kind === "state"),
  ];
  const numbersOf = (all: readonly { readonly shape: readonly number[] }[]): number =>
    all.reduce((sum, w) => sum + countOf(w.shape), 0);
  const trained = flags.weights === undefined ? opened.run : (given?.run ?? null);
  if (trained !== null) tellLost(trained, flags.output);
  const origin = from === null ? { seed } : { from };
  return printReport(flags, {
    json: {
      output: flags.output,
      model: model.name,
      ...origin,
      weights: learned.length,
      states: states.length,
      parameters: numbersOf(learned),
    },
    text:
      `${flags.output}: ${plural(learned.length, "weight")}` +
      `${states.length > 0 ? ` and ${plural(states.length, "state")}` : ""} of ${model.name}, ` +
      `${plural(numbersOf(weights), "number")}, ${from === null ? `seed ${seed}` : `from ${from}`}`,
  });
}

const FLOATS = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** The storage of floats in the file: one type for all; or unchanged, with blocks that a device reads as such. */
async function storedAs(
  opened: OpenedModel,
  { weightsAs: type, ...flags }: Flags<typeof weightCommands.init>,
): Promise<Pick<SaveOptions, "floats" | "quantized">> {
  if (type === undefined) return {};
  if (!isBlockEncoding(type)) return { floats: FLOATS[type] };
  const { program } = await compileFile(opened, { ...flags, weightsAs: type }, { show: () => undefined });
  return { quantized: { type: BLOCKS_OF[type], paths: pathsInBlocks(program, type) } };
}
