// `modc import`: writes the `.mod` file that a checkpoint's configuration describes, or that a run has trained.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { CONFIG_FILE, MODEL_FILE } from "../../../models/families/files-node.js";
import { checkpointConfig } from "../../../models/families/folder-node.js";
import { decoderSource } from "../../../models/families/decoder-source.js";
import { isGgufPath } from "../../../runtime/weights/gguf/header-node.js";
import { hubHint } from "../source/not-source.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { isPrinted, writeText } from "../source/files.js";
import { folderOf } from "../source/model-file.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { out, outJson } from "../terminal/terminal.js";
import { tell, tellLost } from "../source/trained.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export function importFolder(folder: string, flags: Flags<typeof weightCommands.import>): ExitCode {
  if (folderOf(folder) === null)
    throw new UserError(
      `${folder} is neither a folder nor a GGUF file`,
      hubHint(folder) ?? "give a checkpoint's folder, with config.json, or a file whose name ends with .gguf",
    );
  const { name, source } = described(folder);
  const output = isPrinted(flags.output) ? null : flags.output;
  if (output !== null) {
    expectSame(output, source);
    writeText(output, source);
  }
  if (flags.json) outJson({ model: name, output, ...(output === null ? { source } : {}) });
  else
    out(
      output === null
        ? source.trimEnd()
        : `${output}: ${name}, of ${folder}; its weights are the ${isGgufPath(folder) ? "file" : "folder"}'s`,
    );
  return EXIT.fine;
}

/** Throws UserError if another text is there: people edit sources. */
function expectSame(path: string, source: string): void {
  if (!(statSync(path, { throwIfNoEntry: false })?.isFile() ?? false)) return;
  const there = readFileSync(path, "utf8");
  if (there === "" || there === source) return;
  throw new UserError(
    `${path} is there and differs from what would be written: it would be lost`,
    "name another file, or move this one away; without -o the source is printed",
  );
}

/** A model's name and text. */
function described(folder: string): { readonly name: string; readonly source: string } {
  const trained = openTrained(folder);
  if (trained !== null) {
    tell(folder, trained);
    tellLost(trained, "the text");
    return { name: trained.manifest.model, source: trained.source.text };
  }
  const own = join(folder, MODEL_FILE);
  if (!isGgufPath(folder) && !existsSync(join(folder, CONFIG_FILE)) && existsSync(own))
    throw new UserError(
      `${folder} has no ${CONFIG_FILE} to import: its model is a .mod file already, ${own}`,
      `other commands take the folder as it is: modc check ${folder}`,
    );
  const config = checkpointConfig(folder);
  return { name: config.family.model, source: decoderSource(config) };
}
