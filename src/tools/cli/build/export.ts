// `modc export`: a model, and its weights, for another engine: a folder of PyTorch, or a file of ONNX.
import { join } from "node:path";
import { expectFolderName, expectUnchanged, writeFolder } from "../../build/folder-node.js";
import { TORCH_FILES, torchFolder } from "../../export/torch.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { folderOf } from "../source/model-file.js";
import { out, outJson } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { earlierExport, recordOf } from "./earlier-export.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";

export async function exportModel(file: string, flags: ExportFlags): Promise<ExitCode> {
  expectOf(file, flags);
  if (flags.to === "onnx") return (await import("./export-onnx.js")).exportOnnx(file, flags);
  if (flags.to === "hf") return (await import("./export-hf.js")).exportHuggingFace(file, flags);
  expectFolderName(flags.output);
  const { models, sources, family } = await versionsOf(file, flags);
  const files = torchFolder(models, sources, family);
  const [model] = models;
  const weights = flags.weights ?? folderOf(file)?.weights ?? null;
  // Opened before anything is written: an export is whole or none.
  const source = weights === null ? null : await matchedWeights(weights, model);
  try {
    const earlier = earlierExport(flags.output, TORCH_FILES);
    await expectUnchanged(flags.output, TORCH_FILES, earlier);
    await writeFolder(flags.output, earlier, async ({ fresh, write }) => {
      const put = (name: string, text: string): Promise<void> => write(name, new TextEncoder().encode(text));
      if (source) await source.write(join(fresh, WEIGHTS));
      for (const [name, text] of files) await put(name, text);
      await put(...recordOf(fresh, [...files.keys(), ...(source ? [WEIGHTS] : [])]));
    });
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
