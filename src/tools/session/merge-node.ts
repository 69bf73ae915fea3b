// Writes the weights of a training run as one file, or as a separate checkpoint: trained weights over their base, with
// adapters folded in on request. Node only.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { quotedName } from "../../ground/base/shown.js";
import { bug } from "../../ground/base/invariant.js";
import { countOf } from "../../ground/base/collections.js";
import { check } from "../../language/check/check.js";
import { type Adapter, adaptersOf } from "../../language/check/model/adapters.js";
import type { Model } from "../../language/check/model/model.js";
import { asProgramWeight, type ProgramWeight } from "../../runtime/program/program.js";
import { matchWeights, readWeight, type Matched } from "../../runtime/index.js";
import { expectFree, writeFresh } from "../../models/made/model-folder-node.js";
import { BASE } from "../../runtime/weights/base-node.js";
import { openWeights, saveTensors, type SavedTensor } from "../../runtime/node.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import { readStored, storedEntry } from "../../runtime/weights/parts.js";
import { wholeTensors } from "../../runtime/weights/whole.js";
import { SessionError, SourceError } from "../../language/diagnostics/errors.js";
import { MANIFEST, MODEL, printManifest } from "../../models/runs/manifest.js";
import type { Trained } from "../../models/runs/trained-node.js";

export interface MergeResult {
  readonly model: string;
  readonly tensors: number;
  readonly parameters: number;
  /** How many adapters were folded. */
  readonly folded: number;
}

/**
 * Writes the weights of a checkpoint to a safetensors file. Each tensor keeps the type in which its file has it. With
 * `fold`, each weight of the library's `LoRA` becomes weight + alpha / rank · b · a, in f32, and a and b are left out.
 * With `block`, the file has the weights under that path alone, under the keys of the model that stands there. Throws
 * SourceError, SessionError and WeightsError.
 */
export const mergeTrained = (
  trained: Trained,
  output: string,
  { fold = false, block = null }: { readonly fold?: boolean; readonly block?: string | null } = {},
): Promise<MergeResult> => merging(trained, { fold, block }, (tensors) => saveTensors(output, tensors));

/**
 * Writes a checkpoint to a folder, with the weights of its base too: the result opens like the checkpoint and needs no
 * other file. The folder must not be there, or be empty; it appears complete or not at all. Throws CheckpointError,
 * SourceError, SessionError and WeightsError.
 */
export async function mergeToFolder(trained: Trained, output: string): Promise<MergeResult> {
  expectFree(output);
  const { path, manifest } = trained;
  return writeFresh(output, async (fresh) => {
    const done = await merging(trained, { fold: false, block: null }, (tensors) =>
      saveTensors(join(fresh, MODEL), tensors),
    );
    await writingFolder(output, async () => {
      const files = manifest.files.filter(({ name }) => name !== BASE);
      for (const { name } of files) if (name !== MODEL) await copyFile(join(path, name), join(fresh, name));
      const model = { name: MODEL, bytes: (await stat(join(fresh, MODEL))).size, sha256: await digestOf(fresh, MODEL) };
      const merged = { ...manifest, files: files.map((file) => (file.name === MODEL ? model : file)) };
      await writeFile(join(fresh, MANIFEST), printManifest(merged));
    });
    return done;
  });
}

async function writingFolder<T>(output: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const reason = reasonOf(code, { ENOENT: "there is no folder above it" });
    throw new SessionError(`cannot write ${output}: ${reason}`, { cause });
  }
}

async function digestOf(folder: string, name: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(join(folder, name))) hash.update(chunk as Buffer); // it has no encoding
  return hash.digest("hex");
}

/** Calls `save` with the tensors of a checkpoint and of its base. */
async function merging(
  trained: Trained,
  { fold, block }: { readonly fold: boolean; readonly block: string | null },
  save: (tensors: readonly SavedTensor[]) => Promise<void>,
): Promise<MergeResult> {
  const { source: text, set, read, path, manifest } = trained;
  const { model, diagnostics, sources } = check(text, { phase: "infer", model: manifest.model, set, read });
  if (!model) throw new SourceError(diagnostics, sources);
  const adapters = fold ? adaptersOf(model) : [];
  if (fold && adapters.length === 0)
    throw new SessionError(`${model.name} has no LoRA block of the library, so there is nothing to fold`, {
      hint: "leave out --fold",
    });
  const weights = model.weights.map((weight) => asProgramWeight(weight));
  const saving = async (tensors: readonly SavedTensor[]): Promise<MergeResult> => {
    await save(tensors);
    const parameters = tensors.reduce((sum, { shape }) => sum + countOf(shape), 0);
    return { model: model.name, tensors: tensors.length, parameters, folded: adapters.length };
  };
  const source = await openWeights(path);
  try {
    const matched = matchWeights({ weights, ignore: model.ignore }, source);
    const { models } = model;
    if (block !== null) return await saving(ofBlock(block, model.name, { weights, models, matched, source }));
    const replaced = folded(adapters, weights, matched, source);
    const tensors = [...source.tensors].flatMap(([key, { dtype, shape }]): SavedTensor[] => {
      const replacement = replaced.get(key);
      if (replacement === null) return [];
      return [replacement ?? { key, dtype, shape, read: () => source.read(key) }];
    });
    // A weight that is a part of a tensor has no tensor under its key.
    const parts = [...replaced].flatMap(([key, part]) => (part && !source.tensors.has(key) ? [part] : []));
    return await saving(wholeTensors([...tensors, ...parts]));
  } finally {
    await source.close();
  }
}

/** The tensors under a block's path, under the keys of the model that stands there, else their paths below it. */
function ofBlock(
  block: string,
  model: string,
  of: {
    readonly weights: readonly ProgramWeight[];
    readonly models: Model["models"];
    readonly matched: Matched;
    readonly source: WeightSource;
  },
): readonly SavedTensor[] {
  const { weights, models, matched, source } = of;
  const below = `${block}.`;
  const keys = models.find(({ path }) => path === block)?.keys;
  const found = weights.filter(({ path }) => path.startsWith(below));
  if (found.length === 0)
    throw new SessionError(`${model} has no weights under ${quotedName(block)}`, {
      hint: `it has weights under ${[...new Set(weights.map(({ path }) => path.split(".")[0]!))].join(", ")}`,
    });
  return found.map((weight) => {
    const key = matched.get(weight)![0]!;
    const { dtype, shape } = storedEntry(source.tensors, key)!;
    const path = weight.path.slice(below.length);
    return { key: keys?.get(path)?.[0] ?? path, dtype, shape, read: () => readStored(source, key) };
  });
}

/** Folds adapters into weights. By key: the replacement of a tensor with an adapter; null for a tensor left out. */
function folded(
  adapters: readonly Adapter[],
  weights: readonly ProgramWeight[],
  matched: Matched,
  source: WeightSource,
): ReadonlyMap<string, SavedTensor | null> {
  const byPath = new Map(weights.map((weight) => [weight.path, weight]));
  const weightAt = (path: string): ProgramWeight => byPath.get(path) ?? bug(`there is no weight ${path}`);
  const floats = async (weight: ProgramWeight): Promise<Float32Array> => {
    const words = await readWeight(weight, matched.get(weight)!, source);
    return words instanceof Float32Array ? words : bug(`${weight.path} is not a float`);
  };
  const replaced = new Map<string, SavedTensor | null>();
  for (const { path, rank, alpha } of adapters) {
    const scale = alpha / rank;
    const [weight, a, b] = [weightAt(`${path}.weight`), weightAt(`${path}.lora.a`), weightAt(`${path}.lora.b`)];
    for (const key of [...matched.get(a)!, ...matched.get(b)!]) replaced.set(key, null);
    for (const key of matched.get(weight)!)
      replaced.set(key, {
        key,
        dtype: "F32",
        shape: weight.shape,
        read: async () => {
          const sum = withProduct(await floats(weight), await floats(b), await floats(a), a.shape[0]!, scale);
          return new Uint8Array(sum.buffer, sum.byteOffset, sum.byteLength);
        },
      });
  }
  return replaced;
}

/** w + scale · b · a, with b of `rank` columns and a of `rank` rows; summed in f64, rounded once. */
function withProduct(w: Float32Array, b: Float32Array, a: Float32Array, rank: number, scale: number): Float32Array {
  const [rows, columns] = [b.length / rank, a.length / rank];
  const out = new Float32Array(w.length);
  const sums = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sums.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = b[i * rank + r]!;
      for (let j = 0; j < columns; j++) sums[j]! += factor * a[r * columns + j]!;
    }
    for (let j = 0; j < columns; j++) out[i * columns + j] = w[i * columns + j]! + scale * sums[j]!;
  }
  return out;
}
