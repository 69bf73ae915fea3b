// The header of a GGUF file, of version 2 or 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): settings by
// their keys, and the offset of each tensor. Read as untrusted input.
import { quotedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import { beginningOf, TRUNCATED } from "../formats/safetensors.js";
import { Cursor, type Pull } from "./cursor.js";
import { isGguf } from "./magic.js";
import { readValue, type GgufValue } from "./metadata.js";
import { otherType, tensorTypes, type TensorType } from "./types.js";

/** A tensor's entry in the header. */
export interface GgufTensor {
  readonly type: TensorType;
  /** Row-major, the last dimension contiguous: the reverse of the order in the file. */
  readonly shape: readonly number[];
  readonly bytes: number;
  /** From the beginning of the file. */
  readonly offset: number;
}

export interface GgufHeader {
  /** The file's name, for messages. */
  readonly file: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Magic, version, number of tensors, number of keys. */
const FIRST_BYTES = 24;
/** The limits of the format on names and dimensions. */
const MOST_KEY_BYTES = 65535;
const MOST_NAME_BYTES = 64;
const MOST_DIMENSIONS = 4;
const ALIGNMENT = { default: 32, most: 1 << 20 } as const;
/** A key has a length, a type and a value of at least a byte; a tensor a length, dimensions, a type and an offset. */
const LEAST_BYTES = { key: 13, tensor: 32 } as const;
/** More than any model has. */
const MOST = { keys: 1 << 16, tensors: 1 << 18 } as const;

/** Reads and checks a header. Throws WeightsError before anything is allocated that the file cannot hold. */
export function readHeader(pull: Pull, fileBytes: number, file: string): GgufHeader {
  const cursor = new Cursor(pull, fileBytes, file);
  expectGguf(pull, fileBytes, file);
  cursor.u32();
  expectVersion(cursor.u32(), file);
  const tensorCount = cursor.count("the number of tensors", LEAST_BYTES.tensor, MOST.tensors);
  const keyCount = cursor.count("the number of keys", LEAST_BYTES.key, MOST.keys);
  const metadata = readMetadata(cursor, keyCount, file);
  const alignment = alignmentOf(metadata, file);
  const described = readTensors(cursor, tensorCount, file);
  const data = Math.ceil(cursor.at / alignment) * alignment;
  return { file, metadata, tensors: placed(described, { data, alignment, fileBytes, file }) };
}

function expectGguf(pull: Pull, fileBytes: number, file: string): void {
  if (fileBytes < FIRST_BYTES)
    throw new WeightsError(
      `${file} is not a GGUF file: it has ${fileBytes} bytes, fewer than the ${FIRST_BYTES} that one begins with`,
    );
  const first = pull(0, 8);
  if (isGguf(first)) return;
  const [what, hint] = beginningOf(first, null) ?? [
    `it begins with ${quotedName(new TextDecoder("latin1").decode(first.subarray(0, 4)))}`,
    "is it a complete, uncompressed GGUF file?",
  ];
  throw new WeightsError(`${file} is not a GGUF file: ${what}`, { hint });
}

function expectVersion(version: number, file: string): void {
  if (version === 2 || version === 3) return;
  if (version !== 0 && (version & 0xffff) === 0)
    throw new WeightsError(`${file} is a GGUF file in big-endian order, modc reads little-endian ones`, {
      hint: "convert it with llama.cpp's gguf_convert_endian.py",
    });
  throw new WeightsError(`${file} is a GGUF file of version ${version}, modc reads versions 2 and 3`, {
    hint: "convert the checkpoint again with a current llama.cpp",
  });
}

function readMetadata(cursor: Cursor, count: number, file: string): ReadonlyMap<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.text(`the name of key ${i}`, MOST_KEY_BYTES);
    if (metadata.has(key)) throw new WeightsError(`${file} has the key ${quotedName(key)} twice`);
    metadata.set(key, readValue(cursor, key, file));
  }
  return metadata;
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, file: string): number {
  const alignment = metadata.get("general.alignment") ?? ALIGNMENT.default;
  if (
    typeof alignment === "number" &&
    alignment >= 8 &&
    alignment <= ALIGNMENT.most &&
    Number.isInteger(Math.log2(alignment))
  )
    return alignment;
  throw new WeightsError(
    `${file}: general.alignment is ${shown(alignment)}: it must be a power of two from 8 to ${ALIGNMENT.most}`,
  );
}

/** A value in a message. */
export const shown = (value: GgufValue): string =>
  typeof value === "string" ? quotedName(value) : typeof value === "object" ? "a list" : String(value);

/** A tensor whose offset is still from the beginning of the data. */
type Described = Omit<GgufTensor, "offset"> & { readonly begin: bigint };

function readTensors(cursor: Cursor, count: number, file: string): ReadonlyMap<string, Described> {
  const tensors = new Map<string, Described>();
  for (let i = 0; i < count; i++) {
    const name = cursor.text(`the name of tensor ${i}`, MOST_NAME_BYTES);
    if (tensors.has(name)) throw new WeightsError(`${file} has the tensor ${quotedName(name)} twice`);
    tensors.set(name, readTensor(cursor, name, file));
  }
  return tensors;
}

function readTensor(cursor: Cursor, name: string, file: string): Described {
  const fail = (what: string, hint: string | null = null): never => {
    throw new WeightsError(`${file}: tensor ${quotedName(name)} ${what}`, { hint });
  };
  const dimensions = cursor.u32();
  if (dimensions < 1 || dimensions > MOST_DIMENSIONS)
    return fail(`has ${dimensions} dimensions, the format allows 1 to ${MOST_DIMENSIONS}`);
  const shape: number[] = [];
  let values = 1;
  for (let i = 0; i < dimensions; i++) {
    const size = cursor.u64();
    if (size < 1n) fail("has a dimension of 0");
    values *= Number(size); // at least 1 each: once too large, it stays so
    shape.unshift(Number(size));
  }
  if (!Number.isSafeInteger(values)) return fail("has too many values");
  const id = cursor.u32();
  const type =
    tensorTypes.get(id) ??
    fail(
      `is ${otherType(id)}, modc reads ${[...tensorTypes.values()].map((t) => t.name).join(", ")}`,
      "use a file with another quantization, such as Q8_0 or Q4_K_M",
    );
  if (shape.at(-1)! % type.values !== 0)
    return fail(`has rows of ${shape.at(-1)!} values, which are not whole blocks of ${type.values} (${type.name})`);
  const bytes = (values / type.values) * type.bytes;
  if (!Number.isSafeInteger(bytes)) return fail("has too many bytes");
  return { type, shape, bytes, begin: cursor.u64() };
}

interface Place {
  /** The offset at which the data begins. */
  readonly data: number;
  readonly alignment: number;
  readonly fileBytes: number;
  readonly file: string;
}

/** Tensors at their places: each in the file, one behind the other, with nothing between them but padding. */
function placed(described: ReadonlyMap<string, Described>, place: Place): ReadonlyMap<string, GgufTensor> {
  const { data, alignment, fileBytes, file } = place;
  const tensors = new Map<string, GgufTensor>();
  for (const [name, { begin, ...tensor }] of described) {
    const fail = (what: string, hint: string | null = null): never => {
      throw new WeightsError(`${file}: tensor ${quotedName(name)} ${what}`, { hint });
    };
    if (begin % BigInt(alignment) !== 0n) fail(`begins at byte ${begin} of the data, not a multiple of ${alignment}`);
    if (begin > BigInt(fileBytes) || data + Number(begin) + tensor.bytes > fileBytes)
      fail(
        `ends at byte ${begin + BigInt(tensor.bytes)} of the data, the file holds ${Math.max(0, fileBytes - data)}: ` +
          "it is truncated",
        TRUNCATED,
      );
    tensors.set(name, { ...tensor, offset: data + Number(begin) });
  }
  let end = data;
  for (const [name, t] of [...tensors].sort(([, a], [, b]) => a.offset - b.offset)) {
    const what =
      t.offset < end ? "overlaps another" : t.offset > end ? "begins after bytes that belong to no tensor" : null;
    if (what !== null) throw new WeightsError(`${file}: tensor ${quotedName(name)} ${what}`);
    end = Math.ceil((t.offset + t.bytes) / alignment) * alignment;
  }
  return tensors;
}
