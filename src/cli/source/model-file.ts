// What a command takes for a model: a `.mod` file, or a checkpoint's folder, which brings its weights and its
// tokenizer.
import type { SourceFile } from "../../diagnostics/span.js";
import { checkpointFiles, type CheckpointFiles } from "../../huggingface/files-node.js";
import type { Read } from "../../check/names/files.js";
import { openTrained } from "../../session/trained-node.js";
import { isFolder } from "../../tokenizer/folder-node.js";
import { UserError } from "../terminal/exit.js";
import { importReader, readSource, STDIN, STDIN_NAME } from "./files.js";

/** What a checkpoint's folder holds; null where the path is no folder. */
export function folderOf(path: string): CheckpointFiles | null {
  return path !== STDIN && isFolder(path) ? checkpointFiles(path) : null;
}

/** What the model's text is called in messages; what it imports is found beside it. */
export const modelName = (path: string): string =>
  path === STDIN ? STDIN_NAME : (openTrained(path)?.source.file ?? folderOf(path)?.model ?? path);

/** Reads what a model imports: beside its file, or as its checkpoint keeps it. */
export const modelReader = (path: string): Read => openTrained(path)?.read ?? importReader(modelName(path));

/** The text of a model: a file's, or what a checkpoint's configuration describes. */
export async function readModel(path: string): Promise<SourceFile> {
  const trained = openTrained(path);
  if (trained !== null) return trained.source;
  return folderOf(path) === null
    ? readSource(path)
    : (await import("../../huggingface/folder-node.js")).checkpointSource(path);
}

/** A model's text, and how what it imports is read. */
export interface ModelText {
  readonly source: SourceFile;
  readonly read: Read;
}

export const modelText = async (path: string): Promise<ModelText> => ({
  source: await readModel(path),
  read: modelReader(path),
});

/**
 * A checkpoint whose weights cannot be read is no reason to start from others. Throws UserError for a folder without
 * safetensors where no others are given.
 */
export function expectWeights(path: string, weights: string | undefined): void {
  if (weights === undefined && folderOf(path) !== null)
    throw new UserError(
      `${path} holds no safetensors`,
      "store its weights as model.safetensors, or name others with --weights; `modc init` writes starting ones",
    );
}

/** Flags with the weights and the tokenizer of the folder where neither says otherwise. */
export function withFolder<F extends { readonly weights?: string; readonly tokenizer?: string }>(
  path: string,
  flags: F,
): F {
  const folder = folderOf(path);
  if (folder === null) return flags;
  const [weights, tokenizer] = [flags.weights ?? folder.weights, flags.tokenizer ?? folder.tokenizer];
  return { ...flags, ...(weights === null ? {} : { weights }), ...(tokenizer === null ? {} : { tokenizer }) };
}
