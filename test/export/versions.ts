// A source as the versions that an export takes, and the folder's texts.
import { check } from "../../src/check/check.js";
import type { Model } from "../../src/check/model.js";
import { torchFolder, VERSIONS } from "../../src/export/torch.js";

/** The versions that the source has; fails where it has none. */
export function exported(
  text: string,
  { set = {}, file = "model.mod" }: { readonly set?: Readonly<Record<string, string>>; readonly file?: string } = {},
): { readonly models: readonly [Model, ...Model[]]; readonly files: ReadonlyMap<string, string> } {
  const all = VERSIONS.map((version) => check({ file, text }, { ...version, set, read: () => null }));
  const [first, ...others] = all;
  if (!first?.model) throw new Error(first?.diagnostics[0]?.message);
  const models = [first.model, ...others.flatMap(({ model }) => model ?? [])] as const;
  return { models, files: torchFolder(models, first.sources) };
}
