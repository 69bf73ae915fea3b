// What is given as a model's source and is another file of modc's, by how it begins: told by what it is, in place of a
// hundred errors of syntax.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { isTorchFile, torchHint } from "../../../models/families/torch-files.js";
import { PROGRAM_FORMAT } from "../../../runtime/program/program.js";
import { UserError } from "../terminal/exit.js";

/** Null for what may be a source: none begins with a brace, with the length of a header, or with the word GGUF. */
export function notSource(file: string, text: string): UserError | null {
  const found = otherThanSource(file, text);
  return found === null ? null : new UserError(`${file} is ${found.what}, not the source of a model`, found.hint);
}

/** What a text is, and what takes it; null where it may be a source. */
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
export function hubHint(path: string): string | null {
  if (/^https?:\/\//.test(path)) return "download the file first: modc reads models from files";
  const [, repository, name] = /^(?:hf:)?([\w-][\w.-]*\/([\w-][\w.-]*))(?::[\w.-]+)?$/.exec(path) ?? [];
  if (
    repository === undefined ||
    name === undefined ||
    /\.(?:mod|json|gguf|safetensors)$/i.test(path) ||
    existsSync(dirname(path))
  )
    return null;
  return `download a Hugging Face model first: hf download ${repository} --local-dir ${name}`;
}

const MOST_START = 4096;
