// The manifest of a built package: every file with its size and hash, and the location of each weight in the shards.
import type { TensorEntry } from "../../runtime/weights/formats/source.js";
import { PackageError } from "./errors.js";
import { sha256 } from "./hash.js";

export const MANIFEST = "manifest.json";
export const PROGRAMS = "program.json";
/** Default options of generation. */
export const DEFAULTS = "generation.json";
/** Files that describe a tokenizer; some may be missing. */
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

/** Throws PackageError if the text does not match its hash. */
export async function expectSealed(text: string): Promise<void> {
  const end = END.exec(text);
  if (end && (await sha256(new TextEncoder().encode(text.slice(0, end.index)))) === end[1]) return;
  throw new PackageError("corrupted", MANIFEST, `${MANIFEST} is not the file that was built`, {
    hint: "copy the package again, or clear its cached files",
  });
}

/** The manifest of a sealed text. The text matches its hash, so only its format and version are checked. */
export async function unsealed(text: string): Promise<Manifest> {
  await expectSealed(text);
  const { digest: _, ...manifest } = JSON.parse(text) as Manifest & { readonly digest: string }; // as it was sealed
  if (manifest.format === MANIFEST_FORMAT && manifest.version === MANIFEST_VERSION) return manifest;
  throw new PackageError(
    "bad-package",
    MANIFEST,
    `${MANIFEST} has format ${manifest.format} ${manifest.version}; this runtime reads ${MANIFEST_FORMAT} ` +
      `${MANIFEST_VERSION}`,
  );
}
