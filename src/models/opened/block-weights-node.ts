// Weights of several files: what lies under the path of a block is read from a file or folder of its own, by the
// `names` of the model that stands there. Node only.
import { check } from "../../language/check/check.js";
import type { Model } from "../../language/check/model/model.js";
import { SourceError } from "../../language/diagnostics/errors.js";
import { nearest } from "../../ground/numerics/nearest.js";
import { quotedName } from "../../ground/base/shown.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { asProgramWeight } from "../../runtime/program/program.js";
import { joined, type JoinedPart, type PartKeys } from "../../runtime/weights/joined.js";
import { matchPresent } from "../../runtime/weights/match.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import type { LiveOf } from "./live.js";

/** The weights of one block. */
export interface BlockPart {
  /** The path of the block: `teacher`. */
  readonly block: string;
  /** Its name in messages: the file or folder. */
  readonly name: string;
  /** Opens its weights, which the caller closes. */
  readonly open: () => Promise<WeightSource>;
}

/**
 * Opens the parts and joins them under the keys of the whole model. Weights that no part holds are missing in the
 * result. Throws WeightsError for a path that is no block, for a block inside another's, and for a part that has other
 * weights than its block.
 */
export async function joinBlocks(parts: readonly BlockPart[], of: LiveOf): Promise<WeightSource> {
  const model = checked(of);
  expectBlocks(parts, model);
  const opened: JoinedPart[] = [];
  for (const { block, open } of parts) {
    const source = await open();
    opened.push({ source, keys: keysOf(block, model, source) });
  }
  return joined(parts.map(({ block, name }) => `${block}=${name}`).join(", "), opened);
}

function checked({ source, read, model: name, set = {} }: LiveOf): Model {
  const texts = Object.fromEntries(Object.entries(set).map(([parameter, value]) => [parameter, String(value)]));
  const options = { read, set: texts, ...(name && { model: name }) };
  const inferred = check(source, { ...options, phase: "infer" });
  const found = inferred.model === null ? check(source, { ...options, phase: "train" }) : inferred;
  if (found.model === null) throw new SourceError(inferred.diagnostics, inferred.sources);
  return found.model;
}

function expectBlocks(parts: readonly BlockPart[], { name, instances }: Model): void {
  const paths = instances.map(({ path }) => path);
  for (const { block } of parts) {
    if (!paths.includes(block)) {
      const like = nearest(block, paths);
      throw new WeightsError(`weights are given for ${quotedName(block)}, which is no block of ${name}`, {
        hint: like !== null ? `did you mean ${like}?` : `its blocks are ${topLevel(paths).join(", ")}`,
      });
    }
  }
  for (const { block } of parts) {
    const inner = parts.find((other) => other.block.startsWith(`${block}.`));
    if (inner !== undefined)
      throw new WeightsError(`the weights of ${inner.block} are given twice: ${inner.block} is inside ${block}`, {
        hint: "leave out one of the two",
      });
  }
}

const topLevel = (paths: readonly string[]): readonly string[] =>
  paths.filter((path) => !paths.some((other) => path.startsWith(`${other}.`)));

/** The keys of a part, by the keys of the whole model. */
function keysOf(block: string, { weights, models }: Model, source: WeightSource): PartKeys {
  const below = `${block}.`;
  const nested = models.find(({ path }) => path === block);
  const own = weights
    .filter(({ path }) => path.startsWith(below))
    .map((weight) => {
      const path = weight.path.slice(below.length);
      return {
        outer: weight.keys[0] ?? weight.path,
        inner: asProgramWeight({ ...weight, path, keys: nested?.keys.get(path) ?? [path] }),
      };
    });
  const { matched } = matchPresent({ weights: own.map(({ inner }) => inner), ignore: nested?.ignore ?? [] }, source);
  return new Map(
    own.flatMap(({ outer, inner }) => {
      const found = matched.get(inner)!;
      return found.length > 0 ? [[outer, found] as const] : [];
    }),
  );
}
