// A source as the versions that an export takes, and the folder's texts.
import { check, type Checked } from "../../src/check/check.js";
import { familyOf, torchFolder, VERSIONS, type Models } from "../../src/export/torch.js";

export interface Exporting {
  readonly set?: Readonly<Record<string, string>>;
  readonly file?: string;
  /** Without other models of its family, of which there is one for each parameter. */
  readonly alone?: boolean;
}

/** The versions that the source has; fails where it has none. */
export function exported(
  text: string,
  { set = {}, file = "model.mod", alone = false }: Exporting = {},
): { readonly models: Models; readonly files: ReadonlyMap<string, string> } {
  const checked = (more: Readonly<Record<string, string>>): readonly Checked[] =>
    VERSIONS.map((version) => check({ file, text }, { ...version, set: { ...set, ...more }, read: () => null }));
  const all = checked({});
  const models = modelsOf(all);
  if (!models) throw new Error(all[0]?.diagnostics[0]?.message);
  const family = (): readonly Models[] => (alone ? [] : familyOf(models[0], (more) => modelsOf(checked(more))));
  return { models, files: torchFolder(models, all[0]!.sources, family) };
}

function modelsOf([first, ...others]: readonly Checked[]): Models | null {
  return first?.model ? [first.model, ...others.flatMap(({ model }) => model ?? [])] : null;
}
