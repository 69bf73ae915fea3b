// A model as a folder of PyTorch: the files' text, without its weights.
import type { Model } from "../check/model.js";
import type { SourceFile } from "../diagnostics/span.js";
import { partsOf } from "./classes.js";
import { helpersText } from "./helpers-text.js";
import { keysOf, moduleText } from "./module-text.js";
import { readmeText } from "./readme-text.js";
import { SourceNotes } from "./source-notes.js";
import { needsOf, variantOf } from "./variants.js";

export { ExportError } from "./refused.js";
export { VERSIONS, type Version } from "./variants.js";

/**
 * Texts of the files, by name. `models` are those of one source by `VERSIONS`, the first by phase infer and entry
 * forward; versions that the source does not have are left out. Throws ExportError for what has no form in PyTorch.
 */
export function torchFolder(
  models: readonly [Model, ...Model[]],
  sources: readonly SourceFile[],
): ReadonlyMap<string, string> {
  const variants = models.map(variantOf);
  const notes = new SourceNotes(sources);
  const { root, kinds } = partsOf({ variants, notes, needs: needsOf(variants) });
  const keys = keysOf(models[0]);
  return new Map([
    ["model.py", moduleText({ root, kinds, variants, notes })],
    ["modc_torch.py", helpersText],
    ...(Object.keys(keys).length > 0 ? [["keys.json", `${JSON.stringify(keys, null, 2)}\n`] as const] : []),
    ["README.md", readmeText(models)],
  ]);
}
