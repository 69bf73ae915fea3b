// Reads the manifest and the package.json that an earlier build left in a folder. Node only.
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PackageError } from "../../generation/packaged/errors.js";
import {
  expectSealed,
  MANIFEST,
  MANIFEST_FORMAT,
  type Manifest,
  MANIFEST_VERSION,
  type ManifestTensor,
} from "../../generation/packaged/manifest.js";
import { quotedName } from "../../ground/base/shown.js";
import { FolderError, PACKAGE_JSON, type EarlierPackage } from "./package-json.js";
import { expectFolderName, expectUnchanged, mapErrno, type EarlierFiles } from "./folder-node.js";
import { BLOCK, blockBytes, isBlockType } from "../../runtime/program/encodings/block-file.js";
import { format, itself, list, object, Reader, text as string, version, whole } from "../../runtime/program/reader.js";
import { FILE_DTYPES } from "../../runtime/weights/formats/source.js";

export interface EarlierBuild {
  readonly files: EarlierFiles;
  /** The earlier package; null if the folder is empty or does not exist. */
  readonly package: EarlierPackage | null;
}

/**
 * The build that a folder holds. Throws FolderError if the folder holds other files only, or if a file of the build,
 * except package.json, has changed.
 */
export async function earlierBuild(path: string): Promise<EarlierBuild> {
  expectFolderName(path);
  const [manifest, packageJson] = await mapErrno(path, async () => {
    if (!existsSync(path)) return [null, null];
    const parsed = await manifestIn(path);
    return [parsed, existsSync(join(path, PACKAGE_JSON)) ? await readFile(join(path, PACKAGE_JSON), "utf8") : null];
  });
  const files: EarlierFiles = {
    marks: new Map(manifest?.files.map(({ name, sha256 }) => [name, sha256])),
    markOf: digestOf,
    merged: new Set([PACKAGE_JSON]),
    record: MANIFEST,
  };
  if (manifest === null) return { files, package: null };
  await mapErrno(path, () => expectUnchanged(path, [], files));
  return { files, package: { manifest, packageJson } };
}

/** The manifest of a folder; null if the folder is empty. Throws FolderError. */
async function manifestIn(path: string): Promise<Manifest | null> {
  const names = await readdir(path);
  if (names.length === 0) return null;
  const text = names.includes(MANIFEST) ? await readFile(join(path, MANIFEST), "utf8") : "";
  if (!text.includes(JSON.stringify(MANIFEST_FORMAT)))
    throw new FolderError(`${path} has files that are not from a build of modc`, {
      hint: "name an empty folder, or one that does not exist",
    });
  try {
    await expectSealed(text);
    const manifest = parseManifest(text);
    const outside = manifest.files.find(({ name }) => !isWithin(name));
    if (outside) throw new PackageError("bad-package", MANIFEST, `it names ${quotedName(outside.name)}`);
    return manifest;
  } catch (cause) {
    if (!(cause instanceof PackageError)) throw cause;
    throw new FolderError(`${join(path, MANIFEST)} was not written by a build of modc`, {
      hint: "name another folder",
      cause,
    });
  }
}

/** Whether a file name of a manifest stays within the folder. */
const isWithin = (name: string): boolean =>
  !/[\\:\0]/.test(name) && name.split("/").every((part) => part !== "" && part !== "." && part !== "..");

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer); // no encoding: buffers
  return hash.digest("hex");
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
    files: list(readEntry),
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

const readEntry = object({
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
