// The tokens of a text, encoded once into a cache file from which windows are read, so that the text is never whole in
// memory.
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { tokenizerAt, type TokenizerSource } from "../../models/tokenizer/source-node.js";
import { cacheFile, type Described as CacheDescribed } from "./cache-file-node.js";
import { TrainError } from "./errors.js";
import { documents } from "./documents-node.js";
import { changeOf, digestOf, findSources, type Hashing, type SourceFile } from "./sources-node.js";
import { asTraining, bytesEncoder, jsonEncoder, type Encoder } from "./tokenizer.js";

export interface CorpusOptions {
  /** A file, a folder, or an installed package. */
  readonly data: string;
  /** Folder of the token file; created if it does not exist. */
  readonly cache: string;
  /** A `tokenizer.json` or a GGUF file; without one, bytes. */
  readonly tokenizer?: string | TokenizerSource;
  /** The field of JSONL, Parquet or Arrow that holds the text. Default "text". */
  readonly field?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A tokenized text. */
export interface Corpus {
  readonly tokens: number;
  /** Bytes of the text. */
  readonly bytes: number;
  readonly largestToken: number;
  /** Digest of the text and the tokenizer: equal digests mean equal tokens. */
  readonly digest: string;
  /** Path of the token file. */
  readonly path: string;
  /** The token between documents; null: there is none. */
  readonly separator: number | null;
  /** Tokens from `at` on. Throws TrainError if the file is damaged. */
  read(at: number, count: number): Promise<Uint32Array>;
  /** The tokens of a text, as those of a document. */
  encode(text: string): Promise<readonly number[]>;
  /** The text of each token, for display. */
  show(tokens: readonly number[]): readonly string[];
  /**
   * How the text's files have changed since they were read, as a sentence; null: they are unchanged. The tokens stay as
   * read.
   */
  changed(): Promise<string | null>;
  close(): Promise<void>;
}

/** Change this constant with any change that alters the tokens of a text. */
const FORMAT = "modc-tokens-1";

interface Described extends CacheDescribed {
  readonly format: typeof FORMAT;
  readonly tokens: number;
  readonly bytes: number;
  readonly largestToken: number;
}

/** Finds the tokens of a text in the cache, or encodes the text. Throws TrainError. */
export async function openCorpus(options: CorpusOptions): Promise<Corpus> {
  const field = options.field ?? "text";
  const encoder = options.tokenizer === undefined ? bytesEncoder : await readTokenizer(options.tokenizer);
  const files = await findSources(options.data);
  if (options.field !== undefined && files.every(({ kind }) => kind === "text"))
    throw new TrainError("bad-option", `field has no effect: ${options.data} has no JSONL, Parquet or Arrow`, {
      hint: "leave it out: only these have fields",
    });
  const digests: string[] = [];
  for (const file of files) digests.push(await digestOf(file, options.signal));
  const described = files.map((file, i) => [file.kind, file.kind === "text" ? "" : field, digests[i]!]);
  const digest = createHash("sha256")
    .update(JSON.stringify([FORMAT, encoder.name, encoder.width, encoder.separator, described]))
    .digest("hex");
  const path = join(options.cache, `tokens-${digest.slice(0, 32)}.bin`);
  const made = await cacheFile({
    cache: options.cache,
    path,
    parse: parseDescription,
    signal: options.signal,
    make: (temporary) => make(temporary, encoder, files, digests, field, options),
  });
  if (made.tokens === 0) throw new TrainError("bad-data", `${options.data} holds no text`);
  const handle = await open(path, "r");
  const { tokens, bytes, largestToken } = made;
  return {
    tokens,
    bytes,
    largestToken,
    digest,
    path,
    separator: encoder.separator,
    read: (at, count) => readTokens(handle, path, encoder.width, at, count),
    encode: (text) => encoded(encoder, text),
    show: (tokens) => encoder.show(tokens),
    changed: () => changeOf(files),
    close: () => handle.close(),
  };
}

async function encoded(encoder: Encoder, text: string): Promise<readonly number[]> {
  const tokens: number[] = [];
  async function* pieces(): AsyncIterable<Uint8Array> {
    yield new TextEncoder().encode(text);
  }
  for await (const more of encoder.encode(pieces(), "the prompt")) tokens.push(...Array.from(more));
  return tokens;
}

/** The encoder of a tokenizer. Throws TrainError, and WeightsError for a broken GGUF file. */
async function readTokenizer(tokenizer: string | TokenizerSource): Promise<Encoder> {
  const source = typeof tokenizer === "string" ? tokenizerAt(tokenizer) : tokenizer;
  const { file, text } = await asTraining(() => source.json());
  return jsonEncoder(text, file, sha256Of(text));
}

const sha256Of = (bytes: string | Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The description in a JSON value; null: it is none. */
function parseDescription(value: unknown): Described | null {
  const json = value as Partial<Described>; // each field is checked
  const areCounts = [json.tokens, json.bytes, json.largestToken].every((n) => Number.isSafeInteger(n) && n! >= 0);
  return json.format === FORMAT && areCounts && typeof json.sha256 === "string" ? (json as Described) : null;
}

/** Writes the tokens of the files. Throws TrainError if a file changes meanwhile. */
async function make(
  path: string,
  encoder: Encoder,
  files: readonly SourceFile[],
  digests: readonly string[],
  field: string,
  { signal, onProgress }: CorpusOptions,
): Promise<Described> {
  const total = files.reduce((n, file) => n + file.bytes, 0);
  const writer = await TokenWriter.open(path, encoder, new Turns(signal));
  try {
    let done = 0;
    for (const [i, file] of files.entries()) {
      const hash = createHash("sha256");
      for await (const { place, pieces } of documents(file, field, hash, signal)) {
        await writer.document(
          countBytes(pieces, (n) => onProgress?.((done += n), total)),
          place,
        );
      }
      expectSame(file, digests[i]!, hash);
    }
    await writer.finish();
  } finally {
    await writer.close();
  }
  return writer.described();
}

/** Throws TrainError if a file that was read is not the one of the digest. */
export function expectSame(file: SourceFile, digest: string, hash: Hashing): void {
  if (hash.digest("hex") === digest) return;
  throw new TrainError("bad-data", `${file.path} changed while it was read`, {
    hint: "start again when the file no longer changes",
  });
}

async function* countBytes(
  pieces: AsyncIterable<Uint8Array>,
  report: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const piece of pieces) {
    yield piece;
    report(piece.length);
  }
}

const BUFFERED = 1 << 18;

/** Writes documents as tokens of one width, little-endian, with the separator between documents. */
class TokenWriter {
  readonly #handle: FileHandle;
  readonly #encoder: Encoder;
  readonly #turns: Turns;
  readonly #hash = createHash("sha256");
  readonly #buffer = new DataView(new ArrayBuffer(BUFFERED));
  #filled = 0;
  #tokens = 0;
  #bytes = 0;
  #largest = 0;
  #separated = true;

  private constructor(handle: FileHandle, encoder: Encoder, turns: Turns) {
    this.#handle = handle;
    this.#encoder = encoder;
    this.#turns = turns;
  }

  static async open(path: string, encoder: Encoder, turns: Turns): Promise<TokenWriter> {
    return new TokenWriter(await open(path, "wx"), encoder, turns);
  }

  async document(pieces: AsyncIterable<Uint8Array>, place: string): Promise<void> {
    let begun = false;
    const counted = countBytes(pieces, (n) => (this.#bytes += n));
    for await (const ids of this.#encoder.encode(counted, place)) {
      await this.#turns.take();
      for (let i = 0; i < ids.length; i++) {
        if (!begun && !this.#separated && this.#encoder.separator !== null) this.#put(this.#encoder.separator);
        begun = true;
        this.#put(ids[i]!);
        if (this.#filled + 2 * this.#encoder.width > BUFFERED) await this.#flush();
      }
    }
    if (begun) this.#separated = false;
  }

  /** The buffer must have room for two tokens. */
  #put(token: number): void {
    const { width } = this.#encoder;
    if (width === 1) this.#buffer.setUint8(this.#filled, token);
    else if (width === 2) this.#buffer.setUint16(this.#filled, token, true);
    else this.#buffer.setUint32(this.#filled, token, true);
    this.#filled += width;
    this.#tokens++;
    if (token > this.#largest) this.#largest = token;
  }

  async #flush(): Promise<void> {
    const bytes = new Uint8Array(this.#buffer.buffer, 0, this.#filled);
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) done += (await this.#handle.write(bytes, done)).bytesWritten;
    this.#filled = 0;
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  described(): Described {
    return {
      format: FORMAT,
      tokens: this.#tokens,
      bytes: this.#bytes,
      largestToken: this.#largest,
      sha256: this.#hash.digest("hex"),
    };
  }
}

async function readTokens(
  handle: FileHandle,
  path: string,
  width: 1 | 2 | 4,
  at: number,
  count: number,
): Promise<Uint32Array> {
  const bytes = new Uint8Array(count * width);
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, at * width + done);
    if (bytesRead === 0)
      throw new TrainError("bad-data", `${path} was truncated while in use`, {
        hint: "delete it: modc makes it again from the text",
      });
    done += bytesRead;
  }
  if (width === 4) return new Uint32Array(bytes.buffer);
  // little-endian, as every platform with WebGPU
  return width === 1 ? Uint32Array.from(bytes) : Uint32Array.from(new Uint16Array(bytes.buffer));
}

/** Milliseconds between two turns. */
const MOST_MS = 50;

export class Turns {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Call between two pieces. Throws the signal's reason once it is aborted. */
  async take(): Promise<void> {
    if (performance.now() - this.#last >= MOST_MS) {
      await new Promise((resolve) => void setImmediate(resolve));
      this.#last = performance.now();
    }
    this.#signal?.throwIfAborted();
  }
}
