// Opens a folder of Hugging Face's PEFT: adds adapters to the source of a base model, and their weights to the base's
// weights. Node only.
import { join } from "node:path";
import { once } from "../../ground/base/once.js";
import { escapedName, quotedName } from "../../ground/base/shown.js";
import { storedKey } from "../../ground/base/stored-part.js";
import { SessionError } from "../../language/diagnostics/errors.js";
import { overlaid } from "../../runtime/weights/overlay.js";
import { openWeights } from "../../runtime/weights/weights-node.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import { parseAdapterConfig, type AdapterConfig } from "../families/description/adapter-config.js";
import { CheckpointError } from "../families/description/errors.js";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, checkpointFiles } from "../families/files-node.js";
import { readConfigText } from "../families/folder-node.js";
import { adaptedSource, linearLayers, type Adapted, type AdaptedFrom } from "../families/source/adapted-source.js";
import { isFolder } from "../tokenizer/folder-node.js";
import { snapshotOf } from "./hub-node.js";
import type { Parts } from "./parts.js";

export interface AdapterFolder {
  readonly path: string;
  readonly config: AdapterConfig;
  /** The folder of the base model. */
  readonly base: string;
}

/** Reads the configuration of adapters, and finds their base. Throws CheckpointError. */
export function adapterAt(path: string): AdapterFolder {
  const file = join(path, ADAPTER_CONFIG);
  const config = parseAdapterConfig(readConfigText(file), file);
  return { path, config, base: baseOf(path, config) };
}

function baseOf(path: string, { base, revision }: AdapterConfig): string {
  if (isFolder(base)) return base;
  const fail = (why: string, hint: string, cause?: unknown): never => {
    throw new CheckpointError("bad-folder", `${path} has adapters of ${escapedName(base)}: ${why}`, { hint, cause });
  };
  const place = `write the folder of the base as base_model_name_or_path into ${join(path, ADAPTER_CONFIG)}`;
  if (!/^[\w-][\w.-]*(?:\/[\w-][\w.-]*)?$/.test(base)) return fail("there is no such folder", place);
  try {
    return snapshotOf(`hf:${base}${revision === null ? "" : `@${revision}`}`);
  } catch (fault) {
    if (!(fault instanceof SessionError)) throw fault;
    return fail(fault.message, fault.hint === null ? place : `${fault.hint}; or ${place}`, fault);
  }
}

/** `base`: the parts of the base model. Throws CheckpointError and WeightsError. */
export async function openAdapter({ path, config }: AdapterFolder, base: Parts): Promise<Parts> {
  const file = join(path, ADAPTER_WEIGHTS);
  const tensors = await ranksIn(file);
  const adapted = once(() => adaptedBy(tensors, { file, config, base }));
  return {
    ...base,
    path,
    source: () => ({ file: base.file, text: adapted().text }),
    describe: () => null, // the configuration of the base has no adapters
    weights: () => openOver(base, file, adapted().keys),
    tokenizer: () => checkpointFiles(path).tokenizer ?? base.tokenizer(),
  };
}

/** The adapters of a file: the rank of each by its module. */
type Ranks = ReadonlyMap<string, number>;

const KEY = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/** Throws CheckpointError for a tensor that is no part of an adapter, and for half an adapter. */
async function ranksIn(file: string): Promise<Ranks> {
  const source = await openWeights(file);
  try {
    const [ranks, ups] = [new Map<string, number>(), new Set<string>()];
    for (const [key, { shape }] of source.tensors) {
      const [, module, part] = KEY.exec(key) ?? [];
      if (module === undefined || shape.length !== 2) throw unread(file, `the tensor ${quotedName(key)}`);
      if (part === "A") ranks.set(module, shape[0]!);
      else ups.add(module);
    }
    const half = [...new Set([...ranks.keys(), ...ups])].find((module) => !ranks.has(module) || !ups.has(module));
    if (half !== undefined) throw unread(file, `only one half of the adapter of ${quotedName(half)}`);
    if (ranks.size === 0) throw unread(file, "no tensor");
    return ranks;
  } finally {
    await source.close();
  }
}

const unread = (file: string, what: string): CheckpointError =>
  new CheckpointError("bad-folder", `${file} has ${what}`, {
    hint: "modc reads adapters of linear layers, with lora_A.weight and lora_B.weight for each",
  });

interface AdaptedBase extends Pick<Adapted, "text"> {
  /** The key in the file of adapters of each of their weights, by its path. */
  readonly keys: ReadonlyMap<string, string>;
}

interface AdaptingBy {
  readonly file: string;
  readonly config: AdapterConfig;
  readonly base: Pick<Parts, "source" | "read" | "path">;
}

/** The source of the base with the adapters of a file. Throws SourceError and CheckpointError. */
function adaptedBy(ranks: Ranks, { file, config, base }: AdaptingBy): AdaptedBase {
  const from: AdaptedFrom = { source: base.source(), read: base.read, set: {}, model: null };
  const moduleOf = new Map<string, string>();
  for (const { path, keys } of linearLayers(from)) {
    const module = keys.flatMap((key) => moduleOfKey(key) ?? []).find((name) => ranks.has(name));
    if (module !== undefined) moduleOf.set(path, module);
  }
  const found = new Set(moduleOf.values());
  const lost = [...ranks.keys()].find((module) => !found.has(module));
  if (lost !== undefined)
    throw new CheckpointError(
      "bad-folder",
      `${file} has an adapter of ${quotedName(lost)}, and ${base.path} has no linear layer with this weight alone`,
      { hint: "modc reads adapters of layers that are Linear in the model's source, not of fused maps" },
    );
  const other = [...ranks].find(([module, rank]) => config.sizesOf(module).rank !== rank);
  if (other !== undefined)
    throw new CheckpointError(
      "bad-folder",
      `${file} has an adapter of rank ${other[1]} for ${quotedName(other[0])}, and ${ADAPTER_CONFIG} says rank ` +
        `${config.sizesOf(other[0]).rank}`,
    );
  const { text } = adaptedSource(from, {
    on: (path) => moduleOf.has(path),
    sizes: (path) => config.sizesOf(moduleOf.get(path)!), // asked for layers with adapters
  });
  const keys = [...moduleOf].flatMap(([path, module]) => [
    [`${path}.lora.a`, `base_model.model.${module}.lora_A.weight`] as const,
    [`${path}.lora.b`, `base_model.model.${module}.lora_B.weight`] as const,
  ]);
  return { text, keys: new Map(keys) };
}

/** The PyTorch module whose weight is the whole tensor of a key; null if there is none. */
const moduleOfKey = (key: string): string | null =>
  storedKey(key) === key ? (/^(.+)\.weight$/.exec(key)?.[1] ?? null) : null;

/** The weights of the base and those of the adapters, by the paths of the latter. */
async function openOver(base: Parts, file: string, keys: ReadonlyMap<string, string>): Promise<WeightSource> {
  if (typeof base.weights !== "string")
    throw new CheckpointError("bad-folder", `${base.path} has no weights, and ${file} is for them`);
  const below = await openWeights(base.weights);
  try {
    return overlaid(below, renamed(await openWeights(file), keys), new Set());
  } catch (fault) {
    await below.close();
    throw fault;
  }
}

/** Some tensors of a source by other keys. */
function renamed(source: WeightSource, keys: ReadonlyMap<string, string>): WeightSource {
  const stored = (key: string): string => keys.get(key) ?? key;
  return {
    name: source.name,
    tensors: new Map([...keys].map(([key, own]) => [key, source.tensors.get(own)!])), // `ranksIn` has found all
    read: (key) => source.read(stored(key)),
    ...(source.readBytes && { readBytes: (key, start, bytes) => source.readBytes!(stored(key), start, bytes) }),
    close: () => source.close(),
  };
}
