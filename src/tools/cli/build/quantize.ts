// `modc quantize`: a checkpoint with its weights as integers with scales.
import { existsSync } from "node:fs";
import { quantizeCheckpoint } from "../../../models/made/quantize-node.js";
import { folderOf } from "../source/model-file.js";
import { hubHint } from "../source/not-source.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { out, outJson } from "../terminal/terminal.js";
import { grouped } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export async function quantize(
  folder: string,
  { output, weightsAs, json }: Flags<typeof weightCommands.quantize>,
): Promise<ExitCode> {
  if (folderOf(folder) === null)
    throw new UserError(
      `${folder} is neither a folder nor a GGUF file`,
      existsSync(folder)
        ? `a model's text and weights: modc init ${folder} --weights … --weights-as ${weightsAs} -o weights.safetensors`
        : (hubHint(folder) ?? "give a checkpoint's folder, with config.json, or a file whose name ends with .gguf"),
    );
  const done = await quantizeCheckpoint(folder, output, weightsAs);
  if (json) outJson({ output, weightsAs, ...done });
  else
    out(
      `${output}: ${done.model}, ${grouped(done.quantized)} of ${grouped(done.parameters)} numbers in ${weightsAs}\n` +
        `modc generate ${output} computes with them so`,
    );
  return EXIT.fine;
}
