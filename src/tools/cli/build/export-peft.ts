// `modc export --to peft`: the adapters of a run as a folder of Hugging Face's PEFT.
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Model } from "../../../language/check/model/model.js";
import {
  ADAPTER_CONFIG as CONFIG,
  ADAPTER_WEIGHTS as WEIGHTS,
  CONFIG_FILE,
} from "../../../models/families/files-node.js";
import { expectFree, writeFresh } from "../../../models/made/model-folder-node.js";
import { adapterAt } from "../../../models/opened/adapter-node.js";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { Trained } from "../../../models/runs/trained-node.js";
import { BASE, readBase } from "../../../runtime/weights/base-node.js";
import { expectLanguageModel } from "../../export/hf/language-model.js";
import { peftAdapter } from "../../export/hf/peft.js";
import { listed, weightsMatching } from "../../train/patterns.js";
import { type ExitCode, misuse, UserError } from "../terminal/exit.js";
import { printReport, say } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";

export async function exportPeft(opened: OpenedModel, flags: ExportFlags): Promise<ExitCode> {
  expectFree(flags.output);
  if (opened.weights === null) throw misuse("PEFT's folder holds trained adapters", "give a run, or --weights");
  const { models } = await versionsOf(opened, flags);
  expectLanguageModel(models);
  const [model] = models;
  const trained = opened.run ?? opened.weights.run;
  const base = trained === null ? baseOfAdapter(opened) : baseOf(trained);
  const { config, keys, adapters } = peftAdapter(model, base);
  if (trained !== null) expectAdaptersAlone(trained, model, new Set(keys.keys()));
  const source = await matchedWeights(opened.weights, model);
  await writeFresh(flags.output, async (folder) => {
    writeFileSync(join(folder, CONFIG), config);
    await source.write(join(folder, WEIGHTS), { keys, only: true });
  });
  if (base === null) say(`note: no base is known: name it in ${CONFIG}, as base_model_name_or_path`);
  const files = [CONFIG, WEIGHTS];
  return printReport(flags, {
    json: { output: flags.output, model: model.name, to: flags.to, adapters, base, files },
    text:
      `${flags.output}: ${plural(adapters, "adapter")} of ${model.name} for PEFT` +
      (base === null ? "" : `, on ${base}`) +
      `, ${plural(files.length, "file")}: ${files.join(", ")}`,
  });
}

/** The base that a folder of adapters names; null for other models. */
const baseOfAdapter = ({ kind, path }: OpenedModel): string | null =>
  kind === "adapter" ? adapterAt(path).config.base : null;

/** The folder or file that the run's weights lie over, below all runs; null if the run has all weights itself. */
function baseOf({ path }: Trained): string | null {
  let [at, found]: [string, string | null] = [path, null];
  while (existsSync(join(at, BASE))) at = found = readBase(at).weights;
  if (found === null || isFolder(found)) return found;
  return existsSync(join(dirname(found), CONFIG_FILE)) ? dirname(found) : found;
}

/** Throws UserError if the run, or a run below it, trained what PEFT's folder does not hold. */
function expectAdaptersAlone({ path, manifest }: Trained, model: Model, held: ReadonlySet<string>): void {
  const own = existsSync(join(path, BASE)) ? new Set(ownOf(path)) : null;
  const { only } = manifest.settings;
  const isTrained = typeof only === "string" && only !== "" ? weightsMatching(only) : () => true;
  const unused = new Set(manifest.unused);
  const trained = model.weights.filter((weight) =>
    own === null ? weight.kind === "state" || (isTrained(weight) && !unused.has(weight.path)) : own.has(weight.path),
  );
  const lost = trained.map((weight) => weight.path).filter((name) => !held.has(name));
  if (lost.length === 0) return;
  throw new UserError(
    `${path} has trained ${plural(lost.length, "weight")} in addition to its adapters, which PEFT's folder ` +
      `would lose: ${listed(lost)}`,
    "train with --only lora, or write the whole model: modc export … --to hf",
  );
}

/** The paths of weights that a checkpoint of trained weights, and those below it, have themselves. */
function ownOf(folder: string): readonly string[] {
  const { keys, weights } = readBase(folder);
  return [...Object.keys(keys), ...(existsSync(join(weights, BASE)) ? ownOf(weights) : [])];
}
