// `modc quantize`: a checkpoint with its weights as integers with scales.
import { existsSync } from "node:fs";
import { closing } from "../../../models/open-node.js";
import { quantizeModel } from "../../../models/made/quantize-node.js";
import { openCheckpoint } from "../source/model-file.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { grouped } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export async function quantize(folder: string, flags: Flags<typeof weightCommands.quantize>): Promise<ExitCode> {
  const { output, weightsAs } = flags;
  const hint = existsSync(folder)
    ? `for a .mod file, use modc init: modc init ${folder} --weights … --weights-as ${weightsAs} -o weights.safetensors`
    : null;
  const done = await closing(await openCheckpoint(folder, hint), (model) => {
    if (model.kind === "run")
      throw new UserError(
        `${folder} is a training run, not a checkpoint with a config.json`,
        `write its weights in blocks with modc init ${folder} --weights-as ${weightsAs} -o weights.safetensors`,
      );
    return quantizeModel(model, output, weightsAs);
  });
  return printReport(flags, {
    json: { output, weightsAs, ...done },
    text:
      `${output}: ${done.model}, ${grouped(done.quantized)} of ${grouped(done.parameters)} numbers in ${weightsAs}\n` +
      `modc generate ${output} computes with this type`,
  });
}
