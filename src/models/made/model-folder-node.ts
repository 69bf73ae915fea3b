// Writes the folder of a model made from a checkpoint: model text, weights, tokenizer. Node only.
import { randomBytes } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { leftover } from "../../runtime/node.js";
import { asFileName } from "../../ground/files/place-node.js";
import { CheckpointError } from "../families/description/errors.js";
import { checkpointFiles, MODEL_FILE } from "../families/files-node.js";
import { readConfigText } from "../families/folder-node.js";
import type { OpenedModel } from "../opened/model.js";

/** Yields to the event loop, so that an interrupt is handled and temporary files are removed. */
export const yieldToEvents = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/**
 * The element type of floats in a folder made from weights of these types: F16 or BF16 if all have that type, else F32.
 */
export function floatsLike(types: Iterable<string>): "F32" | "F16" | "BF16" {
  const [type, ...others] = new Set(types);
  return others.length === 0 && (type === "F16" || type === "BF16") ? type : "F32";
}

/**
 * Throws CheckpointError if no folder can be created there: the path exists and is not an empty folder, it is the
 * current folder, or its parent is missing.
 */
export function expectFree(output: string): void {
  if (resolve(output) === process.cwd())
    throw new CheckpointError("bad-option", `${output} is the current folder, which cannot be replaced`, {
      hint: "name a folder inside it, or run modc in another folder",
    });
  const name = asFileName(output);
  if (name !== null)
    throw new CheckpointError("bad-option", `${output} is a file name, but the output is a folder`, {
      hint: `${/\.gguf$/i.test(output) ? "modc cannot write GGUF files: " : ""}name a folder, such as ${name}`,
    });
  writing(output, () => {
    const stats = lstatSync(output, { throwIfNoEntry: false });
    const isFolder = stats?.isDirectory() ?? false;
    if (stats !== undefined && !(isFolder && readdirSync(output).length === 0))
      throw new CheckpointError("bad-option", `${output} exists already${isFolder ? "" : ", and is not a folder"}`, {
        hint: FREE,
      });
    accessSync(dirname(resolve(output)), constants.W_OK);
  });
}

const FREE = "name a new or empty folder";

/** Runs `body`, which writes a folder. Converts file system errors to CheckpointErrors. */
function writing<T>(output: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const reason = reasonOf(code, {
      ENOENT: "there is no folder above it",
      ENOTDIR: "the path above it is not a folder",
    });
    throw new CheckpointError("bad-option", `cannot write ${output}: ${reason}`, { hint: null, cause });
  }
}

/** The error for a checkpoint without weights. */
export const noWeights = (path: string): CheckpointError =>
  new CheckpointError(
    "bad-folder",
    `${path} has no weights: neither model.safetensors nor model.safetensors.index.json`,
  );

/**
 * Writes a folder that commands open like the checkpoint `from`, with this text as its model and with weights that
 * `writeWeights` writes to the path passed to it. `more`: further files. The folder appears complete or not at all.
 */
export const writeModelFolder = (
  output: string,
  from: OpenedModel,
  text: string,
  writeWeights: (path: string) => Promise<void>,
  more: readonly (readonly [name: string, text: string])[] = [],
): Promise<void> =>
  writeFresh(output, async (fresh) => {
    for (const [name, content] of [[MODEL_FILE, text] as const, ...more]) writeFileSync(join(fresh, name), content);
    await writeWeights(join(fresh, "model.safetensors"));
    const texts = await textsOf(from);
    for (const [name, content] of texts) writeFileSync(join(fresh, name), content);
    if (texts.every(([name]) => name !== GENERATION)) await writeEnds(from, fresh);
  });

/** Writes a folder with a function that fills it. The folder appears complete or not at all. */
export async function writeFresh<T>(output: string, fill: (folder: string) => Promise<T>): Promise<T> {
  const fresh = `${resolve(output)}.${randomBytes(6).toString("hex")}.tmp`;
  const gone = leftover(fresh);
  try {
    writing(output, () => mkdirSync(fresh));
    const done = await fill(fresh);
    writing(output, () => {
      if (existsSync(output)) removeEmpty(output);
      renameSync(fresh, resolve(output));
    });
    return done;
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    throw error;
  } finally {
    gone();
  }
}

/** Removes an empty folder. Throws CheckpointError if files have appeared in it. */
function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const reason = reasonOf(code, { ENOTEMPTY: "something was added to it", ENOTDIR: "it is a link, or not a folder" });
    throw new CheckpointError("bad-option", `${folder} cannot be replaced: ${reason}`, {
      hint: FREE,
      cause,
    });
  }
}

const GENERATION = "generation_config.json";

/** The tokenizer's files and the defaults of generation, by the names of such files. */
async function textsOf(from: OpenedModel): Promise<readonly (readonly [name: string, text: string])[]> {
  if (from.kind === "gguf") {
    const { files } = await from.texts();
    if (files === null) return [];
    const config = files.config === null ? [] : [["tokenizer_config.json", files.config] as const];
    return [["tokenizer.json", files.tokenizer], ...config];
  }
  const { tokenizer, tokenizerConfig, chatTemplate, generationConfig } = checkpointFiles(from.path);
  return [tokenizer, tokenizerConfig, chatTemplate, generationConfig].flatMap((file) =>
    file === null ? [] : [[basename(file), readConfigText(file)] as const],
  );
}

/** Writes the end-of-text settings of `config.json`, which itself is not copied, since it describes the dense model. */
async function writeEnds(from: OpenedModel, to: string): Promise<void> {
  const { ends } = (await from.texts()).defaults;
  if (ends.length > 0) writeFileSync(join(to, GENERATION), `${JSON.stringify({ eos_token_id: ends })}\n`);
}
