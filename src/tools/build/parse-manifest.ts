// Reads the manifest of a package that an earlier build wrote, as untrusted input.
import { PackageError } from "../../generation/packaged/errors.js";
import {
  MANIFEST,
  MANIFEST_FORMAT,
  MANIFEST_VERSION,
  type Manifest,
  type ManifestTensor,
} from "../../generation/packaged/manifest.js";
import { BLOCK, blockBytes, isBlockType } from "../../runtime/program/encodings/block-file.js";
import { format, itself, list, object, Reader, text as string, version, whole } from "../../runtime/program/reader.js";
import { FILE_DTYPES } from "../../runtime/weights/source.js";

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
