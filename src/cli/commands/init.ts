// `modc init`: writes the starting values of a model's weights to a safetensors file.
import { initialWeights } from "../../runtime/index.js";
import { saveWeights } from "../../runtime/node.js";
import { seedOf } from "../arguments.js";
import { EXIT, type ExitCode } from "../exit.js";
import { checkFile, type ModelFlags } from "../frontend.js";
import { asProgramWeight } from "../model-weights.js";
import { out, outJson } from "../terminal.js";

export interface InitFlags extends Pick<ModelFlags, "set" | "model"> {
  readonly output: string;
  readonly seed?: string;
  readonly floats?: "f32" | "f16" | "bf16";
  readonly paths?: boolean;
  readonly json?: boolean;
}

/** The same file on every machine: values depend on the seed and on each weight's path alone. */
export async function init(file: string, flags: InitFlags): Promise<ExitCode> {
  const seed = seedOf(flags.seed);
  const { model } = await checkFile(file, flags);
  const weights = model.weights.map(asProgramWeight);
  await saveWeights(flags.output, { weights }, initialWeights(seed), {
    keys: flags.paths ? "paths" : "mapped",
    ...(flags.floats === undefined ? {} : { floats: FLOATS[flags.floats] }),
  });
  const numbers = weights.reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);
  if (flags.json) outJson({ output: flags.output, model: model.name, seed, weights: weights.length, parameters: numbers });
  else out(`${flags.output}: ${weights.length} weights of ${model.name}, ${numbers.toLocaleString("en")} numbers, seed ${seed}`);
  return EXIT.fine;
}

const FLOATS = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
