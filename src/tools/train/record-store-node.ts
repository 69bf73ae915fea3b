// The file of encoded records: their words one after the other, then where each begins. Read a record at a time.
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { TrainError } from "./errors.js";
import type { ReadArray } from "./arrays-node.js";
import type { Described } from "./cache-file-node.js";
import type { StoredRecord } from "./record-batch.js";
import type { EncodedRecord } from "./record.js";

/** Change this constant with any change that alters the records of data. */
export const FORMAT = "modc-records-1";

export interface RecordsDescribed extends Described {
  readonly format: typeof FORMAT;
  readonly records: number;
  /** Byte at which the list of beginnings is. */
  readonly index: number;
  /** Targets of all records. */
  readonly targets: number;
  readonly tokens: number;
  readonly largestToken: number;
  /** Tokens of the longest record. */
  readonly longest: number;
  /** Bytes of text that targets predict; null: some records hold token numbers. */
  readonly bytes: number | null;
  /** Records of which the context cut something off. */
  readonly cut: number;
  /** Records without anything to learn, which are left out. */
  readonly empty: number;
  /** Records with texts of different lengths along one axis. */
  readonly padded: number;
  /** For each file of the data, the files of arrays that its rows name. */
  readonly arrays: readonly (readonly ReadArray[])[];
}

const COUNTS = ["records", "index", "targets", "tokens", "largestToken", "longest", "cut", "empty", "padded"] as const;

/** The description in a JSON value; null: it is none. */
export function parseDescribed(value: unknown): RecordsDescribed | null {
  const json = value as Partial<RecordsDescribed>; // each field is checked
  const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
  const good =
    json.format === FORMAT &&
    COUNTS.every((name) => isCount(json[name])) &&
    (json.bytes === null || isCount(json.bytes)) &&
    isArrays(json.arrays) &&
    typeof json.sha256 === "string";
  return good ? (json as RecordsDescribed) : null;
}

const isArrays = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every(
    (files: unknown) =>
      Array.isArray(files) &&
      files.every(
        (file: unknown) => Array.isArray(file) && file.length === 2 && file.every((text) => typeof text === "string"),
      ),
  );

const BUFFERED = 1 << 20;

/** Writes records to a new file. */
export class RecordWriter {
  readonly #handle: FileHandle;
  readonly #hash = createHash("sha256");
  readonly #begins: number[] = [];
  #pending: Uint8Array[] = [];
  #held = 0;
  #at = 0;
  #sums = { targets: 0, tokens: 0, largestToken: 0, longest: 0, cut: 0, empty: 0, padded: 0 };
  #bytes: number | null = 0;

  private constructor(
    handle: FileHandle,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#handle = handle;
  }

  /** `signal`: its reason is thrown between two pieces of what is written. */
  static async open(path: string, signal?: AbortSignal): Promise<RecordWriter> {
    return new RecordWriter(await open(path, "wx"), signal);
  }

  /** Adds a record; null counts a record without anything to learn. */
  async add(record: EncodedRecord | null): Promise<void> {
    const sums = this.#sums;
    if (record === null) {
      sums.empty++;
      return;
    }
    const { lengths, words, targets, largestToken, cut, padded, bytes } = record;
    this.#begins.push(this.#at);
    this.#put(Uint32Array.from(lengths));
    this.#put(words);
    this.#sums = {
      ...sums,
      targets: sums.targets + targets,
      tokens: sums.tokens + lengths.reduce((a, b) => a + b, 0),
      largestToken: Math.max(sums.largestToken, largestToken),
      longest: Math.max(sums.longest, ...lengths),
      cut: sums.cut + (cut > 0 ? 1 : 0),
      padded: sums.padded + (padded ? 1 : 0),
    };
    this.#bytes = this.#bytes === null || bytes === null ? null : this.#bytes + bytes;
    if (this.#held > BUFFERED) await this.#flush();
  }

  #put(words: Uint32Array): void {
    // little-endian, as every platform with WebGPU
    this.#pending.push(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    this.#held += words.byteLength;
    this.#at += words.byteLength;
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    [this.#pending, this.#held] = [[], 0];
    for (let at = 0; at < bytes.length; at += BUFFERED) {
      this.signal?.throwIfAborted();
      const piece = bytes.subarray(at, at + BUFFERED);
      this.#hash.update(piece);
      for (let done = 0; done < piece.length;) done += (await this.#handle.write(piece, done)).bytesWritten;
    }
  }

  async finish(arrays: RecordsDescribed["arrays"]): Promise<RecordsDescribed> {
    const index = this.#at;
    const begins = Float64Array.from([...this.#begins, this.#at]);
    this.#pending.push(new Uint8Array(begins.buffer));
    await this.#flush();
    await this.#handle.sync();
    const records = this.#begins.length;
    const sha256 = this.#hash.digest("hex");
    return { format: FORMAT, records, index, ...this.#sums, bytes: this.#bytes, arrays, sha256 };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Reads records by number. Throws TrainError if the file is damaged. */
export class RecordReader {
  readonly #handle: FileHandle;

  private constructor(
    handle: FileHandle,
    readonly path: string,
    readonly described: RecordsDescribed,
    private readonly axes: number,
  ) {
    this.#handle = handle;
  }

  /** `axes`: the number of lengths of a record. */
  static async open(path: string, described: RecordsDescribed, axes: number): Promise<RecordReader> {
    return new RecordReader(await open(path, "r"), path, described, axes);
  }

  async read(record: number): Promise<StoredRecord> {
    const place = await this.#bytes(this.described.index + 8 * record, 16);
    const [begin, end] = new Float64Array(place);
    if (!(begin! >= 0 && begin! < end! && end! <= this.described.index)) throw this.#damaged();
    const words = new Uint32Array(await this.#bytes(begin!, end! - begin!));
    return { lengths: words.subarray(0, this.axes), words: words.subarray(this.axes) };
  }

  async #bytes(at: number, count: number): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(count);
    for (let done = 0; done < count;) {
      const { bytesRead } = await this.#handle.read(bytes, done, count - done, at + done);
      if (bytesRead === 0) throw this.#damaged();
      done += bytesRead;
    }
    return bytes.buffer;
  }

  #damaged(): TrainError {
    return new TrainError("bad-data", `${this.path} was changed while in use`, {
      hint: "delete it: modc makes it again from the data",
    });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
