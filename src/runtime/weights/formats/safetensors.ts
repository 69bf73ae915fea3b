// The safetensors format (https://github.com/huggingface/safetensors): a length, a JSON header, and the tensors one
// after the other.
import { bug } from "../../../ground/base/invariant.js";
import { BLOCK, blockBytes, isBlockType, type BlockType } from "../../program/encodings/block-file.js";
import { quotedName, escapedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import { parseJson, type Json } from "./json.js";
import { FILE_DTYPES, type TensorEntry, type WeightSource } from "./source.js";

/** The limit of the format. */
export const MOST_HEADER_BYTES = 100_000_000;
const PREFIX_BYTES = 8;
/** More dimensions than any tensor has. */
const MOST_DIMENSIONS = 64;

/** A tensor and its offset in a file. */
export interface FileTensor extends TensorEntry {
  /** From the beginning of the file. */
  readonly offset: number;
}

export interface FileHeader {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** A server's answer with a file. */
export interface Sent {
  /** The content type in the server's answer. */
  readonly type: string | null;
}

/** The size of the header, from the file's first eight bytes; throws WeightsError where the file cannot hold it. */
export function headerBytes(prefix: Uint8Array, fileBytes: number, file: string, sent: Sent | null = null): number {
  if (prefix.length < PREFIX_BYTES || fileBytes < PREFIX_BYTES)
    throw new WeightsError(
      `${file} is not a safetensors file: it has ${fileBytes} bytes, fewer than the eight of a header's length`,
    );
  const size = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  if (size > BigInt(MOST_HEADER_BYTES)) throw other(prefix, size, file, sent);
  if (Number(size) > fileBytes - PREFIX_BYTES)
    throw new WeightsError(
      `${file} is truncated: its header would have ${size} bytes, the file has ${fileBytes - PREFIX_BYTES} after ` +
        "the length",
      { hint: TRUNCATED },
    );
  return Number(size);
}

/** How a file is mended that ends too early. */
export const TRUNCATED = "the download probably broke off; fetch it again";

/** A file of another format, by how it begins. */
function other(prefix: Uint8Array, size: bigint, file: string, sent: Sent | null): WeightsError {
  const [what, hint] = beginningOf(prefix, sent) ?? [
    `its header would have ${size} bytes, the format allows ${MOST_HEADER_BYTES}`,
    "is it a complete, uncompressed safetensors file?",
  ];
  return new WeightsError(`${file} is not a safetensors file: ${what}`, { hint });
}

/** The kind of a file that is not weights, by its first bytes, with a hint; null for an unknown kind. */
export function beginningOf(prefix: Uint8Array, sent: Sent | null): readonly [what: string, hint: string] | null {
  const begins = new TextDecoder("latin1").decode(prefix);
  if (begins.trimStart().startsWith("<"))
    return sent === null
      ? ["it looks like a page of HTML", "download the file itself, not the page that shows it"]
      : [
          `the server sent a page${sent.type === null ? "" : ` (${escapedName(sent.type)})`}`,
          "many servers send a page if a file does not exist",
        ];
  if (begins.startsWith("GGUF"))
    return [
      "it is a GGUF file",
      sent === null ? "give it a name that ends with .gguf" : "download it, and give its bytes or its path",
    ];
  if (/^(?:PK\x03\x04|\x80[\x02-\x05])/.test(begins))
    return ["it looks like a file of torch.save", "save the weights with safetensors.torch.save_file"];
  if (begins === "version ")
    return [
      "it looks like a pointer file of Git LFS",
      sent === null ? "fetch the file itself: git lfs pull" : "serve the file itself",
    ];
  return null;
}

/**
 * Parses and checks a header before tensors are allocated: every range is in the file, and together they cover the data
 * without overlap. `fileBytes` is null where unknown.
 */
export function parseHeader(header: Uint8Array, fileBytes: number | null, file: string): FileHeader {
  const json = headerJson(header, file);
  const data = PREFIX_BYTES + header.length;
  const tensors = new Map<string, FileTensor>();
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [key, entry] of json) {
    if (key === "__metadata__") metadata = parseMetadata(entry, file);
    else tensors.set(key, parseEntry(key, entry, data, fileBytes ?? Infinity, file));
  }
  checkRanges(tensors, data, fileBytes, file);
  for (const [key, type] of quantizedIn(metadata, file)) tensors.set(key, asBlocks(key, tensors.get(key), type, file));
  return { tensors, metadata };
}

/**
 * The entry of the metadata that says which tensors hold blocks: a JSON object with a type for each key. The tensor's
 * bytes are the blocks, row by row; to other programs it is a U8 tensor whose last dimension counts bytes.
 */
const QUANTIZED = "modc.quantized";

/** The metadata of a file in which these tensors hold blocks. */
export const quantizedMetadata = (types: ReadonlyMap<string, BlockType>): readonly (readonly [string, string])[] =>
  types.size === 0 ? [] : [[QUANTIZED, JSON.stringify(Object.fromEntries(types))]];

function quantizedIn(metadata: ReadonlyMap<string, string>, file: string): ReadonlyMap<string, string> {
  const text = metadata.get(QUANTIZED);
  if (text === undefined) return new Map();
  let json: Json;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw new WeightsError(`${file} has a broken header: its ${QUANTIZED} is not JSON`, { cause });
  }
  if (!isObject(json) || ![...json.values()].every((type) => typeof type === "string"))
    throw new WeightsError(`${file} has a broken header: its ${QUANTIZED} is not an object of types`);
  return json as ReadonlyMap<string, string>; // as just checked
}

/** Reads a tensor of bytes as blocks of integers with scales. */
function asBlocks(key: string, tensor: FileTensor | undefined, type: string, file: string): FileTensor {
  const fail = (what: string): never => {
    throw new WeightsError(`${file}: tensor ${quotedName(key)} ${what}`);
  };
  if (!isBlockType(type)) return fail(`is of blocks of type ${quotedName(type)}, which modc does not know`);
  if (!tensor) return fail(`is listed as stored in blocks, but is missing`);
  const bytes = tensor.shape.at(-1);
  if (tensor.dtype !== "U8" || bytes === undefined || bytes % blockBytes(type) !== 0)
    return fail(
      `does not consist of whole blocks of ${type}: it is ${tensor.dtype} of shape [${tensor.shape.join(", ")}]`,
    );
  return { ...tensor, dtype: type, shape: [...tensor.shape.slice(0, -1), (bytes / blockBytes(type)) * BLOCK] };
}

/** A tensor of blocks as it is written: of bytes. */
export const ofBytes = (shape: readonly number[], type: BlockType): readonly number[] => [
  ...shape.slice(0, -1),
  (shape.at(-1)! / BLOCK) * blockBytes(type),
];

function headerJson(header: Uint8Array, file: string): ReadonlyMap<string, Json> {
  let json: Json;
  try {
    json = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header));
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? cause.message : "it is not UTF-8";
    throw new WeightsError(`${file} has a broken header: ${reason}`, { cause });
  }
  if (!isObject(json)) throw new WeightsError(`${file} has a broken header: it is not an object`);
  return json;
}

function parseMetadata(entry: Json, file: string): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (!isObject(entry)) throw new WeightsError(`${file} has a broken header: __metadata__ is not an object`);
  for (const [name, value] of entry) {
    if (typeof value !== "string")
      throw new WeightsError(`${file} has a broken header: __metadata__ ${quotedName(name)} is not a string`);
    metadata.set(name, value);
  }
  return metadata;
}

function parseEntry(key: string, entry: Json, data: number, fileBytes: number, file: string): FileTensor {
  const fail = (what: string, hint: string | null = null): never => {
    throw new WeightsError(`${file}: tensor ${quotedName(key)} ${what}`, { hint });
  };
  if (!isObject(entry)) return fail("is not described by an object");
  for (const field of entry.keys())
    if (field !== "dtype" && field !== "shape" && field !== "data_offsets")
      fail(`has an unknown field ${quotedName(field)}`);
  const dtype = entry.get("dtype");
  const element = typeof dtype === "string" ? FILE_DTYPES.get(dtype) : undefined;
  if (typeof dtype !== "string" || element === undefined)
    return fail(`has an unknown dtype ${escapedName(JSON.stringify(dtype ?? null))}`);
  const shape = entry.get("shape");
  if (!isList(shape) || !shape.every(isCount)) return fail("has no shape of whole numbers");
  if (shape.length > MOST_DIMENSIONS) return fail(`has ${shape.length} dimensions`);
  let bytes = element;
  for (const n of shape) bytes *= n;
  if (!shape.includes(0) && !Number.isSafeInteger(bytes))
    return fail(`has a shape with too many elements: [${shape.join(", ")}]`);
  const offsets = entry.get("data_offsets");
  if (!isList(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return fail("has no data_offsets of two whole numbers");
  const [begin, end] = offsets as [number, number];
  if (begin > end) fail(`ends before it begins: data_offsets [${begin}, ${end}]`);
  if (end > fileBytes - data)
    fail(`ends at byte ${end} of the data, the file holds ${fileBytes - data}: it is truncated`, TRUNCATED);
  if (end - begin !== bytes) fail(`has ${end - begin} bytes, ${dtype} of shape [${shape.join(", ")}] has ${bytes}`);
  return { dtype, shape, bytes, offset: data + begin };
}

/** The tensors must fill the data without a gap or an overlap. */
function checkRanges(
  tensors: ReadonlyMap<string, FileTensor>,
  data: number,
  fileBytes: number | null,
  file: string,
): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = data;
  for (const [key, t] of inOrder) {
    if (t.offset < end) throw new WeightsError(`${file}: tensor ${quotedName(key)} overlaps another`);
    if (t.offset > end)
      throw new WeightsError(`${file}: ${t.offset - end} bytes before tensor ${quotedName(key)} belong to none`);
    end = t.offset + t.bytes;
  }
  if (fileBytes !== null && end < fileBytes)
    throw new WeightsError(`${file}: ${fileBytes - end} bytes at the end belong to no tensor`);
}

const isObject = (json: Json | undefined): json is ReadonlyMap<string, Json> => json instanceof Map;
const isList = (json: Json | undefined): json is readonly Json[] => Array.isArray(json);
const isCount = (json: Json): json is number => typeof json === "number" && Number.isSafeInteger(json) && json >= 0;

/** A safetensors file in memory. Throws WeightsError where it is broken. */
export function readSafetensors(
  file: ArrayBuffer | Uint8Array,
  name = "the weights",
): WeightSource & { readonly metadata: ReadonlyMap<string, string> } {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
  const size = headerBytes(bytes.subarray(0, PREFIX_BYTES), bytes.length, name);
  const { tensors, metadata } = parseHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + size), bytes.length, name);
  return {
    name,
    tensors,
    metadata,
    async read(key) {
      const t = tensors.get(key);
      if (!t) throw new WeightsError(`${name} has no tensor ${quotedName(key)}`);
      return bytes.subarray(t.offset, t.offset + t.bytes);
    },
    async readBytes(key, start, count) {
      return (await this.read(key)).subarray(start, start + count);
    },
    close: async () => {},
  };
}

/** A tensor to write. */
export interface TensorToWrite {
  readonly key: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * The length prefix and header of a file that holds these tensors one after the other, padded so that the data is
 * aligned. Throws WeightsError for a duplicate key.
 */
export function writeHeader(
  tensors: readonly TensorToWrite[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const seen = new Set<string>();
  const members: string[] = [];
  if (metadata.size > 0)
    members.push(
      `"__metadata__":{${[...metadata].map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(",")}}`,
    );
  let offset = 0;
  for (const t of tensors) {
    if (t.key === "__metadata__") throw new WeightsError(`no tensor can be saved under the key "__metadata__"`);
    if (seen.has(t.key)) throw new WeightsError(`two tensors would be saved under the key ${quotedName(t.key)}`);
    seen.add(t.key);
    const element = FILE_DTYPES.get(t.dtype);
    if (element === undefined) bug(`dtype ${t.dtype} cannot be written`);
    const bytes = t.shape.reduce((n, d) => n * d, element);
    members.push(
      `${JSON.stringify(t.key)}:{"dtype":"${t.dtype}","shape":[${t.shape.join(",")}],"data_offsets":[${offset},` +
        `${offset + bytes}]}`,
    );
    offset += bytes;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(PREFIX_BYTES + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, PREFIX_BYTES);
  return header;
}

/** A whole file in memory, for pages and for small files. */
export function writeSafetensors(
  tensors: readonly (TensorToWrite & { readonly data: Uint8Array })[],
  metadata?: ReadonlyMap<string, string>,
): Uint8Array {
  const header = writeHeader(tensors, metadata);
  const file = new Uint8Array(tensors.reduce((n, t) => n + t.data.length, header.length));
  file.set(header);
  let at = header.length;
  for (const t of tensors) {
    file.set(t.data, at);
    at += t.data.length;
  }
  return file;
}
