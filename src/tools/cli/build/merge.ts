// `modc merge`: the weights of a training run as one file, or as a checkpoint that needs no other.
import { mergeToFolder, mergeTrained } from "../../session/merge-node.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { expectAllKept } from "../source/outputs.js";
import { tell, tellLost } from "../source/trained.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { grouped, plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export async function merge(run: string, flags: Flags<typeof weightCommands.merge>): Promise<ExitCode> {
  const { output, fold } = flags;
  const trained = openTrained(run);
  if (trained === null)
    throw new UserError(
      `${run} is neither the folder of a run nor a checkpoint`,
      "give a folder that modc train wrote: modc train … -o run",
    );
  tell(run, trained);
  expectAllKept(trained.path, { described: false });
  const asFile = /\.safetensors$/i.test(output);
  if (fold && !asFile)
    throw new UserError(
      `--fold writes weights for the model with Linear in place of LoRA, but ${output} is a folder ` +
        "for the run's own model",
      "give a file: -o folded.safetensors",
      EXIT.usage,
    );
  const done = await (asFile ? mergeTrained(trained, output, fold ?? false) : mergeToFolder(trained, output));
  if (asFile) tellLost(trained, output);
  return printReport(flags, {
    json: { output, ...done },
    text:
      `${output}: ${plural(done.tensors, "tensor")} of ${done.model}, ${grouped(done.parameters)} numbers` +
      (fold ? `; ${plural(done.folded, "adapter")} folded` : "") +
      (asFile ? "" : `\nit opens as ${run} does, and needs no other file: modc generate ${output} --prompt "…"`),
  });
}
