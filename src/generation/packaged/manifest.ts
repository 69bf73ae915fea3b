// The manifest of a built package: every file with its size and hash, and the location of each weight in the shards.
import { format, itself, list, object, Reader, text as string, version, whole } from "../../runtime/program/reader.js";
import { BLOCK, blockBytes, isBlockType } from "../../runtime/program/encodings/block-file.js";
import { FILE_DTYPES, type TensorEntry } from "../../runtime/weights/source.js";
import { PackageError } from "./errors.js";
import { sha256 } from "./hash.js";

export const MANIFEST = "manifest.json";
export const PROGRAMS = "program.json";
/** Default options of generation. */
export const DEFAULTS = "generation.json";
/** Files that describe a tokenizer, those that exist. */
export const TOKENIZER_FILES = {
  tokenizer: "tokenizer/tokenizer.json",
  config: "tokenizer/tokenizer_config.json",
  template: "tokenizer/chat_template.jinja",
} as const;
export const MANIFEST_FORMAT = "modc-package";
export const MANIFEST_VERSION = 1;

export interface ManifestFile {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256, 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface ManifestTensor extends TensorEntry {
  /** Path of the weight in the model. */
  readonly key: string;
  /** Offset in the concatenation of all shards. */
  readonly offset: number;
}

export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly version: typeof MANIFEST_VERSION;
  readonly model: string;
  /** Every file of the package except the manifest, sorted by name. */
  readonly files: readonly ManifestFile[];
  /** Names of the files that hold weights, in order. */
  readonly shards: readonly string[];
  /** In the order of their offsets. */
  readonly tensors: readonly ManifestTensor[];
}

/** The end of the text: the hash of everything before it, as no other file has the manifest's hash. */
const END = /,\n"digest": "([0-9a-f]{64})"\n\}\n$/;

/** The text of a manifest with its hash at the end; `fields`: the text before it, without the closing brace. */
export const sealed = async (fields: string): Promise<string> =>
  `${fields},\n"digest": "${await sha256(new TextEncoder().encode(fields))}"\n}\n`;

/** Throws PackageError where the text does not match its hash. */
export async function expectSealed(text: string): Promise<void> {
  const end = END.exec(text);
  if (end && (await sha256(new TextEncoder().encode(text.slice(0, end.index)))) === end[1]) return;
  throw new PackageError("corrupted", MANIFEST, `${MANIFEST} is not the file that was built`, {
    hint: "copy the package again, or clear its cached files",
  });
}

const MOST_RANK = 16;

/** Reads a manifest, sealed or not, as untrusted input; throws PackageError. */
export function parseManifest(text: string): Manifest {
  const refuse = (what: string, options?: ErrorOptions): PackageError =>
    new PackageError("bad-package", MANIFEST, `${MANIFEST} is not the manifest of a built package: ${what}`, options);
  const root = Reader.parse(text, refuse);
  const { digest: _digest, ...at } = object({
    format: format(MANIFEST_FORMAT),
    version: version(MANIFEST_VERSION, "runtime"),
    model: string,
    files: list(readFile),
    shards: itself,
    tensors: itself,
    digest: itself,
  })(root);
  root.get("files").unique("name");
  at.tensors.unique("key");
  const sizes = new Map(at.files.map((f) => [f.name, f.bytes]));
  const shards = at.shards.list((r) => {
    const name = r.string();
    return sizes.has(name) ? name : r.fail(`is ${JSON.stringify(name)}, which is not a file`);
  });
  const most = shards.reduce((sum, name) => sum + sizes.get(name)!, 0);
  const tensors = at.tensors.list((r) => readTensor(r, most));
  return { ...at, shards, tensors };
}

const readFile = object({
  name: string,
  bytes: whole(0),
  sha256: (r): string => (/^[0-9a-f]{64}$/.test(r.string()) ? r.string() : r.fail("is not a SHA-256 hash")),
});

function readTensor(r: Reader, most: number): ManifestTensor {
  const tensor = object({
    key: string,
    dtype: string,
    shape: list(whole(0), MOST_RANK),
    offset: whole(0),
    bytes: whole(0, most),
  })(r);
  const { dtype, shape, bytes } = tensor;
  const blocks = isBlockType(dtype) ? blockBytes(dtype) / BLOCK : undefined;
  const width =
    blocks ?? FILE_DTYPES.get(dtype) ?? r.get("dtype").fail(`is ${JSON.stringify(dtype)}, which is not a type`);
  if (shape.reduce((n, d) => n * d, width) !== bytes) r.get("bytes").fail("do not fit the shape");
  whole(0, most - bytes)(r.get("offset"));
  return tensor;
}
