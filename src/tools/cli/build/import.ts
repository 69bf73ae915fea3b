// `modc import`: writes the `.mod` file that a checkpoint's configuration describes, or that a run has trained.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bug } from "../../../ground/base/invariant.js";
import { CONFIG_FILE } from "../../../models/families/files-node.js";
import { decoderSource } from "../../../models/families/source/decoder.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { closing } from "../../../models/open-node.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { isPrinted, writeText } from "../source/files.js";
import { openCheckpoint } from "../source/model-file.js";
import { printReport } from "../terminal/terminal.js";
import { tell, tellLost } from "../source/trained.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export async function importFolder(folder: string, flags: Flags<typeof weightCommands.import>): Promise<ExitCode> {
  return closing(await openCheckpoint(folder), (opened) => write(opened, flags));
}

function write(opened: OpenedModel, flags: Flags<typeof weightCommands.import>): ExitCode {
  const { name, source } = described(opened);
  const output = isPrinted(flags.output) ? null : flags.output;
  if (output !== null) {
    expectSame(output, source);
    writeText(output, source);
  }
  return printReport(flags, {
    json: { model: name, output, ...(output === null ? { source } : {}) },
    text:
      output === null
        ? source.trimEnd()
        : `${output}: ${name}, of ${opened.named}; its weights are the ${opened.kind === "gguf" ? "file" : "folder"}'s`,
  });
}

/** Throws UserError if another text is there: people edit sources. */
export function expectSame(path: string, source: string): void {
  if (!(statSync(path, { throwIfNoEntry: false })?.isFile() ?? false)) return;
  const existing = readFileSync(path, "utf8");
  if (existing === "" || existing === source) return;
  throw new UserError(
    `${path} exists, and differs from the text to write`,
    "name another file, or move this one away; leave out -o to print the source",
  );
}

/** A model's name and text. */
function described(opened: OpenedModel): { readonly name: string; readonly source: string } {
  const { kind, run, file, path, named: folder } = opened;
  if (run !== null) {
    tell(folder, run);
    tellLost(run, "the text");
    return { name: run.manifest.model, source: run.source.text };
  }
  if (kind === "checkpoint" && !existsSync(join(path, CONFIG_FILE)) && existsSync(file))
    throw new UserError(
      `${folder} has no ${CONFIG_FILE} to import: its model is already a .mod file, ${file}`,
      `use the folder directly: modc check ${folder}`,
    );
  const config = opened.describe() ?? bug(`${folder} has no configuration`);
  return { name: config.family.model, source: decoderSource(config) };
}
