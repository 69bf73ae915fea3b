// The tensors of a GGUF file as a source of weights: under Hugging Face's keys, in its order of rows, dequantized.
import { bug } from "../../../ground/base/invariant.js";
import { quotedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import { converts, fromBytes } from "../formats/convert.js";
import type { TensorEntry, WeightSource } from "../formats/source.js";
import { tensorChange, type TensorChange } from "./changes.js";
import { dequantize } from "./k-blocks.js";
import { readHeader, shown, type GgufHeader, type GgufTensor } from "./header.js";
import { architectures, NO_WEIGHTS, placeOf, type GgufArchitecture } from "./names.js";
import type { TensorType } from "./types.js";

/** Types that all readers of weights know; others are dequantized here. */
const isKnown = (type: TensorType): boolean => converts(type.name, "f32");

/** The architecture of a file. Throws WeightsError for one that modc does not read. */
export function architectureOf({ metadata, file }: GgufHeader): GgufArchitecture {
  const name = metadata.get("general.architecture");
  if (name === undefined) throw new WeightsError(`${file} has no general.architecture`);
  const architecture = typeof name === "string" ? architectures.get(name) : undefined;
  if (architecture) return architecture;
  throw new WeightsError(
    `${file}: general.architecture is ${shown(name)}, modc reads ${[...architectures.keys()].join(", ")}`,
    { hint: name === "mistral" ? "llama.cpp writes llama for these models" : null },
  );
}

/** Above any model's number of experts. */
const MOST_EXPERTS = 65_536;

/** A weight: a tensor, or a part of a stack. */
interface Weight {
  readonly tensor: GgufTensor;
  readonly entry: TensorEntry;
  readonly change: TensorChange | null;
}

/** The weights of a file with that header; `read` gives the bytes of a tensor. */
export function ggufWeights(
  header: GgufHeader,
  { read, close }: { readonly read: (tensor: GgufTensor) => Promise<Uint8Array>; readonly close: () => Promise<void> },
): WeightSource {
  const { file } = header;
  expectWhole(header);
  const weights = weightsOf(header, architectureOf(header));
  const weightAt = (key: string): Weight => {
    const weight = weights.get(key);
    if (!weight) throw new WeightsError(`${file} has no tensor ${quotedName(key)}`);
    return weight;
  };
  const whole = async (key: string): Promise<Uint8Array> => {
    const { tensor, change, entry } = weightAt(key);
    const stored = await read(tensor);
    const rows = change?.of === "stored" ? change.apply(stored) : stored;
    const bytes = entry.dtype === tensor.type.name ? rows : asFloats(tensor.type, rows);
    return change?.of === "f32" ? change.apply(bytes) : bytes;
  };
  /** The last tensor that was converted to read some of its bytes. */
  let last: { readonly key: string; readonly bytes: Uint8Array } | null = null;
  return {
    name: file,
    tensors: new Map([...weights].map(([key, { entry }]) => [key, entry])),
    close,
    read: whole,
    async readBytes(key, start, bytes) {
      const { tensor, entry, change } = weightAt(key);
      const isStored = entry.dtype === tensor.type.name && (change === null || change.of === null);
      if (isStored) return read({ ...tensor, offset: tensor.offset + start, bytes });
      if (last?.key !== key) last = { key, bytes: await whole(key) };
      return last.bytes.subarray(start, start + bytes);
    },
  };
}

/** The values of a tensor as f32. */
function asFloats(type: TensorType, bytes: Uint8Array): Uint8Array {
  if (!isKnown(type)) return new Uint8Array(dequantize(type, bytes).buffer);
  const words = fromBytes(bytes, type.name, "f32");
  if (typeof words === "string") bug(`floats convert, but ${words}`);
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** The weights by Hugging Face's keys. Throws WeightsError. */
function weightsOf(header: GgufHeader, architecture: GgufArchitecture): ReadonlyMap<string, Weight> {
  const names = new Map<string, string>();
  const weights = new Map<string, Weight>();
  for (const [name, stored] of header.tensors) {
    if (NO_WEIGHTS.has(name)) continue;
    const { key: pattern, change: kind } = placeOf(name, architecture);
    for (const [key, tensor] of pattern.includes("{e}")
      ? partsOf(header, name, pattern)
      : [[pattern, stored] as const]) {
      const other = names.get(key);
      if (other !== undefined)
        throw new WeightsError(
          `${header.file}: tensors ${quotedName(other)} and ${quotedName(name)} are the same weight`,
        );
      names.set(key, name);
      const change = kind === null ? null : tensorChange(kind, { name, tensor, header, architecture });
      weights.set(key, { tensor, change, entry: entryOf(tensor, change) });
    }
  }
  return weights;
}

function entryOf({ type, shape: stored, bytes }: GgufTensor, change: TensorChange | null): TensorEntry {
  const shape = change?.shape ?? stored;
  return isKnown(type) && change?.of !== "f32"
    ? { dtype: type.name, shape, bytes }
    : { dtype: "F32", shape, bytes: 4 * shape.reduce((n, size) => n * size, 1) };
}

/** The weights of each expert: the tensor has them one after another. */
function partsOf(
  { tensors, file }: GgufHeader,
  name: string,
  pattern: string,
): readonly (readonly [key: string, tensor: GgufTensor])[] {
  const { type, shape, bytes, offset } = tensors.get(name)!;
  const [experts, ...rest] = shape;
  if (experts === undefined || rest.length !== 2 || experts > MOST_EXPERTS)
    throw new WeightsError(
      `${file}: tensor ${quotedName(name)}, ${type.name}[${shape.join(", ")}], is no stack of up to ` +
        `${MOST_EXPERTS} matrices`,
    );
  const each = bytes / experts; // whole: a row is whole blocks
  return Array.from({ length: experts }, (_, e) => [
    pattern.replace("{e}", String(e)),
    { type, shape: rest, bytes: each, offset: offset + e * each },
  ]);
}

/** Throws WeightsError for a part of a model, or a file that is not a model. */
function expectWhole({ metadata, file }: GgufHeader): void {
  const parts = metadata.get("split.count") ?? 0;
  if (parts !== 0 && parts !== 1)
    throw new WeightsError(`${file} has only one of ${shown(parts)} parts of a model`, {
      hint: "join them with llama.cpp: llama-gguf-split --merge <first part> <output>",
    });
  const kind = metadata.get("general.type") ?? "model";
  if (kind !== "model") throw new WeightsError(`${file} is not a model: general.type is ${shown(kind)}`);
  const quantization = metadata.get("general.quantization_version") ?? 2;
  if (quantization !== 2)
    throw new WeightsError(`${file}: general.quantization_version is ${shown(quantization)}, modc reads 2`);
}

/** A GGUF file in memory. Throws WeightsError where it is broken or modc does not read it. */
export function readGguf(file: ArrayBuffer | Uint8Array, name = "the weights"): WeightSource {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
  const header = readHeader((at, length) => bytes.subarray(at, at + length), bytes.length, name);
  return ggufWeights(header, {
    read: async ({ offset, bytes: count }) => bytes.subarray(offset, offset + count),
    close: async () => {},
  });
}
