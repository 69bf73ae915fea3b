// `modc export`: a model, and its weights, for another engine: a folder of PyTorch, or a file of ONNX.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { TORCH_FILES, torchFolder } from "../../export/torch.js";
import { openTrained } from "../../session/trained-node.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { makeFolder, writeText } from "../source/files.js";
import { folderOf } from "../source/model-file.js";
import { out, outJson } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { expectUnchanged, NOTED, noted } from "./earlier-export.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";

export async function exportModel(file: string, flags: ExportFlags): Promise<ExitCode> {
  expectOf(file, flags);
  if (flags.to === "onnx") return (await import("./export-onnx.js")).exportOnnx(file, flags);
  if (flags.to === "hf") return (await import("./export-hf.js")).exportHuggingFace(file, flags);
  const { models, sources, family } = await versionsOf(file, flags);
  const files = torchFolder(models, sources, family);
  const [model] = models;
  const weights = flags.weights ?? folderOf(file)?.weights ?? null;
  // Opened before anything is written: an export is whole or none.
  const source = weights === null ? null : await matchedWeights(weights, model);
  try {
    expectUnchanged(flags.output, TORCH_FILES);
    makeFolder(flags.output);
    if (source) await source.write(join(flags.output, WEIGHTS));
    for (const [name, text] of files) writeText(join(flags.output, name), text);
    // What an earlier export left, and this one has not, would be read with it.
    for (const name of TORCH_FILES)
      if (!files.has(name) && !(source && name === WEIGHTS)) rmSync(join(flags.output, name), { force: true });
    writeText(join(flags.output, NOTED), noted(flags.output, [...files.keys(), ...(source ? [WEIGHTS] : [])]));
  } finally {
    await source?.close();
  }
  const names = [...files.keys(), ...(weights === null ? [] : ["model.safetensors"])];
  if (flags.json) outJson({ output: flags.output, model: model.name, to: flags.to, files: names, weights });
  else out(`${flags.output}: ${model.name} in PyTorch, ${plural(names.length, "file")}: ${names.join(", ")}`);
  return EXIT.fine;
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
};

/** A folder holds all that a source is; what a call asks for is said when it is called. */
function expectOf(file: string, flags: ExportFlags): void {
  for (const [option, engines] of Object.entries(ENGINES)) {
    const given = flags[option as keyof ExportFlags] !== undefined; // a key of the table
    // A run says its tokenizer itself: no other may be given.
    const ofRun = option === "tokenizer" && given && openTrained(file)?.tokenizer === flags.tokenizer;
    if (!given || engines.includes(flags.to) || ofRun) continue;
    const name = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UserError(`--${name} is for --to ${engines.join(" and --to ")}`, "leave it out", EXIT.usage);
  }
}

const WEIGHTS = "model.safetensors";
