// Opens the model argument of a command: a `.mod` file, or a checkpoint, a folder or a GGUF file, with its weights and
// tokenizer.
import { existsSync, readdirSync } from "node:fs";
import { extname } from "node:path";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { checkpointFiles, isCheckpoint, type CheckpointFiles } from "../../../models/families/files-node.js";
import { isTorchFile, torchHint } from "../../../models/families/torch-files.js";
import type { Read } from "../../../language/check/names/files.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { hubHint, notSource } from "./not-source.js";
import { importReader, readSource, STDIN, STDIN_NAME } from "./files.js";

/** The files of a checkpoint; null where the path is neither a folder nor a GGUF file. */
export function folderOf(path: string): CheckpointFiles | null {
  return path !== STDIN && isCheckpoint(path) ? checkpointFiles(path) : null;
}

/** The name of the model's source in messages, to whose folder its imports are relative. */
export const modelName = (path: string): string =>
  path === STDIN ? STDIN_NAME : (openTrained(path)?.source.file ?? folderOf(path)?.model ?? path);

/** Reads a model's imports, from its file's folder or from its checkpoint. */
export const modelReader = (path: string): Read => openTrained(path)?.read ?? importReader(modelName(path));

/** The source of a model: a file, or the translation of a checkpoint's configuration. */
export async function readModel(path: string): Promise<SourceFile> {
  const trained = openTrained(path);
  if (trained !== null) return trained.source;
  if (folderOf(path) !== null) return (await import("../../../models/families/folder-node.js")).checkpointSource(path);
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
}

/** The kinds of models, if a path does not have the ending of a file. */
const kindsHint = (path: string): string | null =>
  extname(path) === ""
    ? "name a .mod file, a folder that `modc train` wrote, a checkpoint's folder, or a GGUF file"
    : null;

/** A model's source, and the reader of its imports. */
export interface ModelText {
  readonly source: SourceFile;
  readonly read: Read;
}

export const modelText = async (path: string): Promise<ModelText> => ({
  source: await readModel(path),
  read: modelReader(path),
});

/**
 * Throws UserError for a checkpoint folder without safetensors if no other weights are passed: it must not silently
 * start from initial weights.
 */
export function expectWeights(path: string, weights: string | undefined): void {
  if (weights !== undefined || folderOf(path) === null) return;
  const torch = readdirSync(path).find(isTorchFile);
  throw new UserError(
    `${path} holds no safetensors`,
    torch === undefined
      ? "store its weights as model.safetensors, or name others with --weights; `modc init` writes starting ones"
      : torchHint(torch),
  );
}

/** The flags, with the weights and tokenizer of the checkpoint as defaults. */
export function withFolder<F extends { readonly weights?: string; readonly tokenizer?: string }>(
  path: string,
  flags: F,
): F {
  const folder = folderOf(path);
  if (folder === null) return flags;
  const [weights, tokenizer] = [flags.weights ?? folder.weights, flags.tokenizer ?? folder.tokenizer];
  return { ...flags, ...(weights === null ? {} : { weights }), ...(tokenizer === null ? {} : { tokenizer }) };
}
