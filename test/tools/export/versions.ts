// A source as the versions that an export takes, and the folder's texts.
import { check, type Checked } from "../../../src/language/check/check.js";
import { huggingFaceFolder, type HuggingFaceFolder } from "../../../src/tools/export/hf/folder.js";
import { familyOf, torchFolder, VERSIONS, type Models } from "../../../src/tools/export/torch.js";

export interface Exporting {
  readonly set?: Readonly<Record<string, string>>;
  readonly file?: string;
  /** Leaves out the family's other models, one for each parameter. */
  readonly alone?: boolean;
}

/** The versions that the source has, and its family's; fails where it has none. */
export function versionsIn(
  text: string,
  { set = {}, file = "model.mod", alone = false }: Exporting = {},
): {
  readonly models: Models;
  readonly sources: Checked["sources"];
  readonly family: () => readonly Models[];
} {
  const checked = (more: Readonly<Record<string, string>>): readonly Checked[] =>
    VERSIONS.map((version) => check({ file, text }, { ...version, set: { ...set, ...more }, read: () => null }));
  const all = checked({});
  const models = modelsOf(all);
  if (!models) throw new Error(all[0]?.diagnostics[0]?.message);
  const family = (): readonly Models[] => (alone ? [] : familyOf(models[0], (more) => modelsOf(checked(more))));
  return { models, sources: all[0]!.sources, family };
}

/** As a folder of PyTorch. */
export function exported(
  text: string,
  exporting: Exporting = {},
): { readonly models: Models; readonly files: ReadonlyMap<string, string> } {
  const { models, sources, family } = versionsIn(text, exporting);
  return { models, files: torchFolder(models, sources, family) };
}

/** Exports to a folder for transformers, with code. */
export function exportedWithCode(
  text: string,
  exporting: Exporting = {},
): HuggingFaceFolder & { readonly models: Models } {
  const versions = versionsIn(text, exporting);
  return { models: versions.models, ...huggingFaceFolder(versions) };
}

function modelsOf([first, ...others]: readonly Checked[]): Models | null {
  return first?.model ? [first.model, ...others.flatMap(({ model }) => model ?? [])] : null;
}
