// `modc import`: writes the `.mod` file that a checkpoint's configuration describes.
import { checkpointConfig } from "../../huggingface/folder-node.js";
import { decoderSource } from "../../huggingface/decoder-source.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { isPrinted, writeText } from "../source/files.js";
import { folderOf } from "../source/model-file.js";
import { out, outJson } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export function importFolder(folder: string, flags: Flags<typeof weightCommands.import>): ExitCode {
  if (folderOf(folder) === null)
    throw new UserError(`${folder} is no folder`, "give a checkpoint's folder, with config.json", EXIT.usage);
  const config = checkpointConfig(folder);
  const source = decoderSource(config);
  const output = isPrinted(flags.output) ? null : flags.output;
  if (output !== null) writeText(output, source);
  if (flags.json) outJson({ model: config.family.model, output, ...(output === null ? { source } : {}) });
  else
    out(
      output === null
        ? source.trimEnd()
        : `${output}: ${config.family.model}, of ${folder}; its weights are the folder's`,
    );
  return EXIT.fine;
}
