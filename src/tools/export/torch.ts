// Writes a model as a folder for PyTorch: all file texts, without weights.
import type { Model } from "../../language/check/model/model.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { partsOf, type Parts, type PartsOptions } from "./classes.js";
import { pythonFiles } from "../../ground/embedded.js";
import { Stacks } from "./experts.js";
import { moduleText, stagePieces } from "./module-text.js";
import { readmeText } from "./readme-text.js";
import { inSource } from "./refused.js";
import { hasCaches } from "./caches.js";
import { keysOf, pathsOf } from "./root-text.js";
import { inputSequences } from "./sequences.js";
import { SourceNotes } from "./source-notes.js";
import { trainingFiles } from "./training-files.js";
import { needsOf, variantOf } from "./variants.js";

export { familyOf } from "./family.js";
export { ExportError } from "./refused.js";
export { VERSIONS, type Version } from "./variants.js";

export type Models = readonly [Model, ...Model[]];

/** Every file name that some export writes. Files that an earlier export wrote may have to be removed. */
export const TORCH_FILES: readonly string[] = [
  "model.py",
  "model.safetensors",
  ...Object.keys(pythonFiles),
  "keys.json",
  "paths.json",
  "README.md",
];

/** Files that all exported models share. */
export const SHARED_FILES: readonly string[] = [
  "modc_torch.py",
  "modc_axes.py",
  "modc_entries.py",
  "modc_recurrences.py",
  "modc_losses.py",
  "modc_pairs.py",
  "modc_caches.py",
  "modc_files.py",
];

/** Methods other than `forward` that return results to a caller. */
const calledMethods = ({ kinds }: Parts): readonly string[] => [
  ...new Set(
    kinds
      .flatMap(({ methods }) => methods.map(({ name }) => name))
      .filter((n) => n !== "forward" && n !== "moved_states"),
  ),
];

/**
 * Returns the file texts by name.
 * `models` are the versions of one source in the order of `VERSIONS`; the first has phase infer and entry forward.
 * Versions that the source lacks are left out.
 * `family` returns the same versions for other parameter values, in order to find the parameter that each number
 * follows. It is called after the model itself was translated.
 * Throws ExportError for models that have no PyTorch form.
 */
export function torchFolder(
  models: Models,
  sources: readonly SourceFile[],
  family: () => readonly Models[] = () => [],
): ReadonlyMap<string, string> {
  const notes = new SourceNotes(sources, models[0].file);
  const optionsOf = (all: Models): PartsOptions => {
    const variants = all.map((model) => variantOf(model, notes));
    return { variants, notes, needs: needsOf(variants), stacks: new Stacks(variants), staged: true };
  };
  const placed = <T>(work: () => T): T => inSource((span) => notes.place(span), work);
  const options = placed(() => optionsOf(models));
  const parts = placed(() => partsOf(options, () => family().map(optionsOf)));
  const tables = [
    ["keys.json", keysOf(models[0], options.stacks)],
    ["paths.json", pathsOf(models[0], options.stacks)],
  ] as const;
  const module = { parts, variants: options.variants, notes };
  const { stages } = parts.root.kind;
  const staged = stages && { ...stages, ...stagePieces(module) };
  const text = placed(() => moduleText(module));
  const sequences = inputSequences(options.variants);
  const training = trainingFiles(
    options.variants,
    options.needs,
    options.stacks,
    calledMethods(parts),
    staged,
    sequences,
  );
  return new Map([
    ["model.py", text],
    ...SHARED_FILES.map((name) => [name, pythonFiles[name]!] as const),
    ...training,
    ...tables.flatMap(([name, table]) =>
      Object.keys(table).length > 0 ? [[name, `${JSON.stringify(table, null, 2)}\n`] as const] : [],
    ),
    [
      "README.md",
      readmeText(models, {
        trains: training.size > 0,
        stages: training.has("pipeline.py"),
        steps: sequences.length > 0 && hasCaches(options.variants, sequences),
        along: sequences.filter(({ isOptional }) => !isOptional).map(({ name }) => name),
      }),
    ],
  ]);
}
