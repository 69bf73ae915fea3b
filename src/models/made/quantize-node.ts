// Writes a checkpoint with block-quantized weights of products and tables. Node only.
import { countOf } from "../../ground/base/collections.js";
import { compile } from "../../compiler/compile.js";
import { BLOCKS_OF, type BlockEncoding } from "../../runtime/program/encodings/block-file.js";
import { asProgramWeight } from "../../runtime/program/program.js";
import { readWeight } from "../../runtime/index.js";
import { saveWeights } from "../../runtime/node.js";
import { readingInTurns } from "../../runtime/weights/in-turns.js";
import { pathsInBlocks } from "../../runtime/weights/stored.js";
import { CheckpointError } from "../families/description/errors.js";
import type { OpenedModel } from "../opened/model.js";
import { expectFree, floatsLike, noWeights, writeModelFolder, yieldToEvents } from "./model-folder-node.js";

export interface Quantized {
  /** The model's name. */
  readonly model: string;
  /** The number of parameters, and the number stored in blocks. */
  readonly parameters: number;
  readonly quantized: number;
}

/**
 * Writes a folder that commands open like the checkpoint. Weights that devices do not read in
 * blocks (`Precision`) keep the checkpoint's type, if it has one. It appears complete or not at all. Throws
 * CheckpointError and WeightsError.
 */
export async function quantizeModel(from: OpenedModel, output: string, weightsAs: BlockEncoding): Promise<Quantized> {
  expectFree(output);
  const { path, source, weights: file } = from;
  if (file === null) throw noWeights(path);
  const { program, model, diagnostics } = compile(source.text, {
    file: source.file,
    precision: { weights: weightsAs },
  });
  if (!program || !model)
    throw new CheckpointError("bad-folder", `${source.file} does not compile: ${diagnostics[0]?.message ?? ""}`, {
      hint: `modc check ${path}`,
    });
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const stateNames = new Set(model.weights.flatMap((w) => (w.kind === "state" ? [w.path] : [])));
  const paths = pathsInBlocks(program, weightsAs);
  const opened = await file.source();
  const matched = opened.match({ weights, ignore: model.ignore });
  const floats = floatsLike([...opened.tensors.values()].map((t) => t.dtype));
  await writeModelFolder(output, from, source.text, (to) =>
    saveWeights(to, { weights }, (w) => readWeight(w, matched.get(w)!, opened, readingInTurns(yieldToEvents)), {
      floats,
      kept: stateNames,
      quantized: { type: BLOCKS_OF[weightsAs], paths },
    }),
  );
  const numbers = (all: typeof weights): number => all.reduce((sum, w) => sum + countOf(w.shape), 0);
  return {
    model: model.name,
    parameters: numbers(weights),
    quantized: numbers(weights.filter((w) => paths.has(w.path))),
  };
}
