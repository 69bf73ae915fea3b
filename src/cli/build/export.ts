// `modc export`: a model, and its weights, for another engine: a folder of PyTorch, or a file of ONNX.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { bug } from "../../base/invariant.js";
import type { Checked } from "../../check/check.js";
import type { Model } from "../../check/model.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import type { SourceFile } from "../../diagnostics/span.js";
import { familyOf, TORCH_FILES, torchFolder, VERSIONS, type Models } from "../../export/torch.js";
import { asProgramWeight } from "../../program/program.js";
import { matchWeights, readWeight } from "../../runtime/index.js";
import { openWeights, saveWeights } from "../../runtime/node.js";
import { readingInTurns } from "../../runtime/weights/in-turns.js";
import { SourceError } from "../../session/errors.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { turn } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { makeFolder, writeText } from "../source/files.js";
import { folderOf, modelText } from "../source/model-file.js";
import { out, outJson } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

type ExportFlags = Flags<typeof weightCommands.export>;

export async function exportModel(file: string, flags: ExportFlags): Promise<ExitCode> {
  if (flags.to === "onnx") return (await import("./export-onnx.js")).exportOnnx(file, flags);
  expectOfTorch(flags);
  const { models, sources, family } = await versionsOf(file, flags);
  const files = torchFolder(models, sources, family);
  const [model] = models;
  const weights = flags.weights ?? folderOf(file)?.weights ?? null;
  // Opened before anything is written: an export is whole or none.
  const source = weights === null ? null : await matchedWeights(weights, model);
  try {
    expectOwn(flags.output);
    makeFolder(flags.output);
    if (source) await source.write(join(flags.output, WEIGHTS));
    for (const [name, text] of files) writeText(join(flags.output, name), text);
    // What an earlier export left, and this one has not, would be read with it.
    for (const name of TORCH_FILES)
      if (!files.has(name) && !(source && name === WEIGHTS)) rmSync(join(flags.output, name), { force: true });
  } finally {
    await source?.close();
  }
  const names = [...files.keys(), ...(weights === null ? [] : ["model.safetensors"])];
  if (flags.json) outJson({ output: flags.output, model: model.name, to: flags.to, files: names, weights });
  else out(`${flags.output}: ${model.name} in PyTorch, ${plural(names.length, "file")}: ${names.join(", ")}`);
  return EXIT.fine;
}

/** A folder of PyTorch holds all that a source is; what a call asks for is said when it is called. */
function expectOfTorch({ phase, enter, caches, observe, lengths, weightsAs, externalData }: ExportFlags): void {
  const given = Object.entries({ phase, enter, caches, observe, lengths, weightsAs, externalData });
  const other = given.find(([, value]) => value !== undefined)?.[0];
  if (other === undefined) return;
  const name = other.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UserError(`--${name} is for --to onnx`, "leave it out", EXIT.usage);
}

/**
 * The model for inference, and for what else its source is; and the same with other parameters. Throws SourceError
 * where it has errors.
 */
async function versionsOf(
  file: string,
  { set = {}, model: name }: ExportFlags,
): Promise<{
  readonly models: Models;
  readonly sources: readonly SourceFile[];
  readonly family: () => readonly Models[];
}> {
  const { check } = await import("../../check/check.js");
  const { source, read } = await modelText(file);
  const checked = (more: Readonly<Record<string, string>>): readonly Checked[] =>
    VERSIONS.map((version) =>
      check(source, { ...version, set: { ...set, ...more }, read, ...(name === undefined ? {} : { model: name }) }),
    );
  const [first, ...others] = checked({});
  if (!first?.model) throw new SourceError(first?.diagnostics ?? [], first?.sources ?? []);
  showDiagnostics(first.diagnostics, first.sources);
  const faulty = others.find(({ model, diagnostics }) => !model && !diagnostics.every(isAbsence));
  if (faulty) throw new SourceError(faulty.diagnostics, faulty.sources);
  const models = modelsOf([first, ...others]);
  if (!models) bug("a source without errors has a model");
  return { models, sources: first.sources, family: () => familyOf(models[0], (more) => modelsOf(checked(more))) };
}

function modelsOf([first, ...others]: readonly Checked[]): Models | null {
  return first?.model ? [first.model, ...others.flatMap(({ model }) => model ?? [])] : null;
}

/**
 * A source may have no objective, and no causal rule: then the folder has none either. What a block lacks is `forward`,
 * and stays an error.
 */
const isAbsence = ({ severity, code, message }: Diagnostic): boolean =>
  severity !== "error" ||
  (code === "no-function" && message.includes("`objective`")) ||
  code.startsWith("non-causal") ||
  code === "cannot-generate";

const WEIGHTS = "model.safetensors";
/** A file that every export has, and little else. */
const MARK = "modc_torch.py";

/** Refuses a folder that is of no export and has files of these names, which would be lost. */
function expectOwn(folder: string): void {
  if (existsSync(join(folder, MARK))) return;
  const other = TORCH_FILES.find((name) => existsSync(join(folder, name)));
  if (other !== undefined)
    throw new UserError(`${folder} has a ${other} that no export wrote`, "name another folder, or move it away");
}

/** The weights of the model in a file; throws where they do not fit. */
async function matchedWeights(from: string, model: Model) {
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const source = await openWeights(from);
  try {
    const matched = matchWeights({ weights, ignore: model.ignore }, source);
    return {
      write: (path: string) =>
        saveWeights(path, { weights }, (w) => readWeight(w, matched.get(w)!, source, readingInTurns(turn))),
      close: () => source.close(),
    };
  } catch (fault) {
    await source.close();
    throw fault;
  }
}
