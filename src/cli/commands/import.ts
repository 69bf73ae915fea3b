// `modc import`: writes the `.mod` file that a checkpoint's configuration describes.
import { checkpointConfig } from "../../huggingface/folder-node.js";
import { decoderSource } from "../../huggingface/decoder-source.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { writeText } from "../files.js";
import { folderOf } from "../model-file.js";
import { out, outJson } from "../terminal.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export function importFolder(folder: string, flags: Flags<typeof weightCommands.import>): ExitCode {
  if (folderOf(folder) === null)
    throw new UserError(`${folder} is no folder`, "give a checkpoint's folder, with config.json", EXIT.usage);
  const config = checkpointConfig(folder);
  const source = decoderSource(config);
  if (flags.output !== undefined) writeText(flags.output, source);
  if (flags.json)
    outJson({
      model: config.family.model,
      output: flags.output ?? null,
      ...(flags.output === undefined ? { source } : {}),
    });
  else
    out(
      flags.output === undefined
        ? source.trimEnd()
        : `${flags.output}: ${config.family.model}, of ${folder}; its weights are the folder's`,
    );
  return EXIT.fine;
}
