// Opens models for commands, with the errors of the command line.
import { existsSync, readdirSync } from "node:fs";
import { extname } from "node:path";
import { isTorchFile, torchHint } from "../../../models/families/torch-files.js";
import type { OpenedModel } from "../../../models/open.js";
import { openModel, type OpenModelOptions } from "../../../models/open-node.js";
import type { SourceReader } from "../../../models/opened/source-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { hubHint, notSource } from "./not-source.js";
import { importedText, readSource, STDIN, STDIN_NAME } from "./files.js";

/** A model's source, and the reader of its imports. */
export type ModelText = Pick<OpenedModel, "source" | "read">;

/** Opens a model that a command names. Throws what `openModel` throws, and UserError. */
export const openNamed = (path: string, options: Omit<OpenModelOptions, "reader"> = {}): Promise<OpenedModel> =>
  openModel(path, { ...options, reader });

const reader: SourceReader = {
  nameOf: (path) => (path === STDIN ? STDIN_NAME : path),
  model(path) {
    const hint = path === STDIN || existsSync(path) ? null : (hubHint(path) ?? kindsHint(path));
    if (hint !== null)
      throw new UserError(
        `cannot read ${escapedName(path)}: there is no such file or folder`,
        hint,
        EXIT.user,
        "cannot-read",
      );
    const source = readSource(path);
    const other = notSource(source.file, source.text);
    if (other) throw other;
    return source;
  },
  imported: importedText,
};

/** The kinds of models, if a path does not have the ending of a file. */
const kindsHint = (path: string): string | null =>
  extname(path) === ""
    ? "give a .mod file, a folder that `modc train` wrote, a checkpoint's folder, or a GGUF file"
    : null;

/** Opens a checkpoint that a command names. Throws UserError for a path that is neither a folder nor a GGUF file. */
export async function openCheckpoint(path: string, hint: string | null = null): Promise<OpenedModel> {
  const model = await openNamed(path);
  if (model.kind !== "source" && model.kind !== "program") return model;
  throw new UserError(
    `${path} is neither a folder nor a GGUF file`,
    hint ?? hubHint(path) ?? "give a checkpoint's folder, with config.json, or a file whose name ends with .gguf",
  );
}

/**
 * Throws UserError for a checkpoint folder without safetensors if no other weights are passed: it must not silently
 * start from initial weights.
 */
export function expectWeights({ kind, path, weights }: OpenedModel): void {
  if (weights !== null || kind !== "checkpoint") return;
  const torch = readdirSync(path).find(isTorchFile);
  throw new UserError(
    `${path} holds no safetensors`,
    torch === undefined
      ? "store its weights as model.safetensors, or give others with --weights; `modc init` writes starting weights"
      : torchHint(torch),
  );
}
