// The tensors of a GGUF file as a source of weights: under Hugging Face's keys, in its order of rows, dequantized.
import { escapedName, quotedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import { converts } from "../formats/convert.js";
import type { TensorEntry, WeightSource } from "../formats/source.js";
import { dequantize } from "./k-blocks.js";
import { readHeader, shown, type GgufHeader, type GgufTensor } from "./header.js";
import { architectures, huggingFaceKey, ROPE_FACTORS, rotatedPart, type GgufArchitecture } from "./names.js";
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

/** The weights of a file with that header; `read` gives the bytes of a tensor. */
export function ggufWeights(
  header: GgufHeader,
  { read, close }: { readonly read: (tensor: GgufTensor) => Promise<Uint8Array>; readonly close: () => Promise<void> },
): WeightSource {
  const { file } = header;
  const architecture = architectureOf(header);
  expectWhole(header);
  const names = new Map<string, string>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, { type, shape, bytes }] of header.tensors) {
    if (name === ROPE_FACTORS) continue;
    const key = huggingFaceKey(name);
    const other = names.get(key);
    if (other !== undefined)
      throw new WeightsError(`${file}: tensors ${quotedName(other)} and ${quotedName(name)} are the same weight`);
    names.set(key, name);
    tensors.set(
      key,
      isKnown(type)
        ? { dtype: type.name, shape, bytes }
        : { dtype: "F32", shape, bytes: 4 * shape.reduce((n, size) => n * size, 1) },
    );
  }
  const rotated = architecture.pairs ? headsOf(header, architecture, names) : new Map<string, number>();
  const tensorAt = (key: string): GgufTensor => {
    const tensor = header.tensors.get(names.get(key) ?? "");
    if (!tensor) throw new WeightsError(`${file} has no tensor ${quotedName(key)}`);
    return tensor;
  };
  const whole = async (key: string): Promise<Uint8Array> => {
    const tensor = tensorAt(key);
    const { type, shape } = tensor;
    const heads = rotated.get(key);
    const stored = await read(tensor);
    const bytes = heads === undefined ? stored : halvesApart(stored, { rows: shape[0]!, heads });
    return isKnown(type) ? bytes : new Uint8Array(dequantize(type, bytes).buffer);
  };
  /** The last tensor that was converted to read some of its bytes. */
  let last: { readonly key: string; readonly bytes: Uint8Array } | null = null;
  return {
    name: file,
    tensors,
    close,
    read: whole,
    async readBytes(key, start, bytes) {
      const tensor = tensorAt(key);
      if (isKnown(tensor.type) && !rotated.has(key)) return read({ ...tensor, offset: tensor.offset + start, bytes });
      if (last?.key !== key) last = { key, bytes: await whole(key) };
      return last.bytes.subarray(start, start + bytes);
    },
  };
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

/** The heads of each weight whose rows lie in pairs, by its key. Throws WeightsError where they do not divide it. */
function headsOf(
  { metadata, tensors, file }: GgufHeader,
  { name }: GgufArchitecture,
  names: ReadonlyMap<string, string>,
): ReadonlyMap<string, number> {
  const queries = metadata.get(`${name}.attention.head_count`);
  const heads = { queries, keys: metadata.get(`${name}.attention.head_count_kv`) ?? queries };
  const found = new Map<string, number>();
  for (const [key, tensorName] of names) {
    const part = rotatedPart(tensorName);
    if (part === null) continue;
    const { shape, type } = tensors.get(tensorName)!;
    const count = heads[part];
    const fits = typeof count === "number" && Number.isInteger(count) && count >= 1 && shape[0]! % (2 * count) === 0;
    if (!fits || (shape.length === 1 && type.values > 1))
      throw new WeightsError(
        `${file}: the rows of tensor ${quotedName(tensorName)}, ${type.name}[${shape.join(", ")}], are not pairs of ` +
          `${escapedName(count === undefined ? "an unknown number of" : shown(count))} heads`,
      );
    found.set(key, count);
  }
  return found;
}

/** Rows 2i and 2i + 1 of each head become its rows i and i + half. A row is whole blocks, so none is changed. */
function halvesApart(
  bytes: Uint8Array,
  { rows, heads }: { readonly rows: number; readonly heads: number },
): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const [row, half] = [bytes.length / rows, rows / heads / 2];
  for (let to = 0; to < rows; to++) {
    const head = Math.floor(to / (2 * half));
    const within = to % (2 * half);
    const from = head * 2 * half + 2 * (within % half) + (within < half ? 0 : 1);
    out.set(bytes.subarray(from * row, (from + 1) * row), to * row);
  }
  return out;
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
