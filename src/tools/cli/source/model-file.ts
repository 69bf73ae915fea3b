// Opens models for commands, with the errors of the command line; a file of another kind is recognized by its
// beginning.
import { existsSync, readdirSync } from "node:fs";
import { extname, dirname } from "node:path";
import { ADAPTER_CONFIG, isTorchFile, torchHint } from "../../../models/families/files-node.js";
import { isCached } from "../../../models/opened/hub-node.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { openModel, type OpenModelOptions } from "../../../models/open-node.js";
import type { SourceReader } from "../../../models/opened/source-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { importedText, readSource, STDIN, STDIN_NAME } from "./files.js";
import { PROGRAM_FORMAT } from "../../../runtime/program/program.js";

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
  if (model.kind === "adapter")
    throw new UserError(
      `${path} has adapters, and its model is in another folder`,
      `give the folder of the base, which base_model_name_or_path in ${ADAPTER_CONFIG} names`,
    );
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

/** Null for what may be a source: none begins with a brace, with the length of a header, or with the word GGUF. */
function notSource(file: string, text: string): UserError | null {
  const other = otherThanSource(file, text);
  return other === null ? null : new UserError(`${file} is ${other.what}, not the source of a model`, other.hint);
}

/** The kind of a text that is not a source, with a hint; null if it may be a source. */
export function otherThanSource(file: string, text: string): { readonly what: string; readonly hint: string } | null {
  const start = text.slice(0, MOST_START);
  if (/^[^]{0,8}\{\s*"[^"]*":\s*\{/.test(start) && start.includes("\0"))
    return { what: "a safetensors file", hint: `give the model first, and then its weights: --weights ${file}` };
  if (start.startsWith("GGUF"))
    return { what: "a GGUF file", hint: "rename it to end with .gguf: commands then read its model" };
  if (/\.onnx$/i.test(file))
    return { what: "an ONNX file", hint: `modc writes such files but does not read them: ${MODELS}` };
  if (isTorchFile(file) || /^(?:PK\u0003\u0004|\ufffd\u0002)/.test(start))
    return { what: "a file of PyTorch", hint: torchHint(file) };
  if (start.includes("\0") && !file.endsWith(".mod")) return { what: "a binary file", hint: MODELS };
  if (!/^\s*\{/.test(start)) return null;
  const format = /"format":\s*"([^"]*)"/.exec(start)?.[1] ?? "";
  if (format === PROGRAM_FORMAT)
    return {
      what: "a compiled program",
      hint: "name it .json for `modc run`, `plan` or `profile`; other commands need the source",
    };
  if (format === "modc-checkpoint")
    return { what: "the manifest of a checkpoint", hint: `give its folder: ${dirname(file)}` };
  if (/^\s*\{"kind":/.test(start)) return { what: "the log of a run", hint: `give its folder: ${dirname(file)}` };
  if (format.startsWith("modc reproduction")) return { what: "a saved fault", hint: `modc verify ${file}` };
  return { what: "JSON", hint: "give the model's .mod file, or the folder of a checkpoint or of a run" };
}

const MODELS = "give a .mod file, a checkpoint's folder as Hugging Face stores it, or a GGUF file";

/** The hint for a name that could be a model on Hugging Face's hub, `owner/name`, and is not a path; else null. */
function hubHint(path: string): string | null {
  if (/^https?:\/\//.test(path)) return "download the file first: modc reads models from files";
  const [, repository, name] = /^([\w-][\w.-]*\/([\w-][\w.-]*))(?::[\w.-]+)?$/.exec(path) ?? [];
  if (
    repository === undefined ||
    name === undefined ||
    /\.(?:mod|json|gguf|safetensors)$/i.test(path) ||
    existsSync(dirname(path))
  )
    return null;
  if (isCached(repository)) return `it is in the cache of Hugging Face: give hf:${repository}`;
  return `download a Hugging Face model first: hf download ${repository} --local-dir ${name}`;
}

const MOST_START = 4096;
