// `modc export`: a model, and its weights, for another engine: a folder of PyTorch, or a file of ONNX.
import { join } from "node:path";
import { expectFolderName, expectUnchanged, writeFolder, type EarlierFiles } from "../../build/folder-node.js";
import { hasParts } from "../../export/root-text.js";
import { TORCH_FILES, torchFolder } from "../../export/torch.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";

export async function exportModel(opened: OpenedModel, flags: ExportFlags): Promise<ExitCode> {
  expectOf(flags);
  if (flags.to === "onnx") return (await import("./export-onnx.js")).exportOnnx(opened, flags);
  if (flags.to === "peft") return (await import("./export-peft.js")).exportPeft(opened, flags);
  if (flags.to === "hf") return (await import("./export-hf.js")).exportHuggingFace(opened, flags);
  expectFolderName(flags.output);
  const { models, sources, family } = await versionsOf(opened, flags);
  const files = torchFolder(models, sources, family);
  const [model] = models;
  const weights = opened.weights?.place ?? null;
  // Opened before anything is written: an export is whole or none.
  const source = opened.weights && (await matchedWeights(opened.weights, model));
  const earlier = earlierExport(flags.output, TORCH_FILES);
  await expectUnchanged(flags.output, TORCH_FILES, earlier);
  await writeFolder(flags.output, earlier, async ({ fresh, write }) => {
    const put = (name: string, text: string): Promise<void> => write(name, new TextEncoder().encode(text));
    const paths = new Map(model.weights.map(({ path }) => [path, path]));
    if (source) await source.write(join(fresh, WEIGHTS), hasParts(model) ? { keys: paths } : {});
    for (const [name, text] of files) await put(name, text);
    await put(...recordOf(fresh, [...files.keys(), ...(source ? [WEIGHTS] : [])]));
  });
  const names = [...files.keys(), ...(weights === null ? [] : ["model.safetensors"])];
  return printReport(flags, {
    json: { output: flags.output, model: model.name, to: flags.to, files: names, weights },
    text: `${flags.output}: ${model.name} in PyTorch, ${plural(names.length, "file")}: ${names.join(", ")}`,
  });
}

/** The engines that an option is for; those that are not here are for all. */
const ENGINES: Partial<Record<keyof ExportFlags, readonly ExportFlags["to"][]>> = {
  phase: ["onnx"],
  enter: ["onnx"],
  caches: ["onnx"],
  observe: ["onnx"],
  lengths: ["onnx"],
  externalData: ["onnx"],
  weightsAs: ["onnx", "hf"],
  tokenizer: ["hf"],
  live: ["torch", "hf", "onnx"],
};

/** A folder holds all that a source is; what a call asks for is said when it is called. */
function expectOf(flags: ExportFlags): void {
  for (const [option, engines] of Object.entries(ENGINES)) {
    const isSet = flags[option as keyof ExportFlags] !== undefined; // a key of the table
    if (!isSet || engines.includes(flags.to)) continue;
    const name = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw misuse(`--${name} is for --to ${engines.join(" and --to ")}`, "leave it out");
  }
}

const WEIGHTS = "model.safetensors";

/** The file that holds the record. */
const RECORD = "modc-export.json";

/** The mark of a file's contents; weights, which may be large, are marked by size and time alone. */
function markOf(path: string): string {
  if (path.endsWith(".safetensors")) {
    const { size, mtimeMs } = statSync(path);
    return `${size} bytes at ${mtimeMs}`;
  }
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** The record of the files `names` in a folder, as a file: its name and its text. */
const recordOf = (folder: string, names: readonly string[]): readonly [name: string, text: string] => [
  RECORD,
  `${JSON.stringify(Object.fromEntries(names.map((name) => [name, markOf(join(folder, name))])), null, 2)}\n`,
];

/** The files among `names` that an earlier export wrote to the folder. */
function earlierExport(folder: string, names: readonly string[]): EarlierFiles {
  const record = read(join(folder, RECORD));
  const marks = names.flatMap((name) => {
    const mark = Object.hasOwn(record, name) ? record[name] : undefined;
    return typeof mark === "string" ? [[name, mark] as const] : [];
  });
  return { marks: new Map(marks), markOf, merged: new Set(), record: RECORD };
}

/** The record in a file; empty if there is no such file, or if it is not a record. */
function read(path: string): Readonly<Record<string, unknown>> {
  if (!existsSync(path)) return {};
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    return parsed !== null && typeof parsed === "object" ? (parsed as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
