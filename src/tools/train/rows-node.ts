// Reads rows of data, a value for each column: JSONL, Parquet and Arrow, as a stream that is hashed while it is read.
import { open, type FileHandle } from "node:fs/promises";
import * as zlib from "node:zlib";
import { fileKind } from "../../ground/base/file-kinds.js";
import { TrainError } from "./errors.js";
import { fileBytes, type Hashing, type SourceFile } from "./sources-node.js";

/** A row of a file. */
export interface DataRow {
  /** The row's place, for messages: `data.jsonl:12`, or `data.parquet, row 12`. */
  readonly place: string;
  /** The values of the wanted columns. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The names of all columns. */
  readonly columns: readonly string[];
  /** About how many bytes of the file it has. */
  readonly bytes: number;
}

export interface RowOptions {
  /** Updated with every byte of the file. */
  readonly hash: Hashing;
  /** The columns to read; null: all. */
  readonly columns: ReadonlySet<string> | null;
  readonly signal?: AbortSignal | undefined;
}

/** Formats whose files hold rows. */
type RowKind = Exclude<SourceFile["kind"], "text">;

/** The longest line allowed. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;

const jsonRows = (file: SourceFile, { hash, signal }: RowOptions): AsyncIterable<DataRow> =>
  rowsOfLines(fileBytes(file, hash, signal), file.path);

/** The objects of lines of JSON, whatever they come from; `path` names them in messages. Throws TrainError. */
export async function* rowsOfLines(bytes: AsyncIterable<Uint8Array>, path: string): AsyncIterable<DataRow> {
  let number = 0;
  for await (const line of lines(bytes, path)) {
    number++;
    const place = `${path}:${number}`;
    const values = objectIn(line, place, number === 1);
    if (values !== null) yield { place, values, columns: Object.keys(values), bytes: line.length + 1 };
  }
}

/** The object of a line; null for a blank line. */
function objectIn(line: Uint8Array, place: string, first: boolean): Readonly<Record<string, unknown>> | null {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: !first }).decode(line);
  } catch (cause) {
    const kind = first ? fileKind(line) : null;
    throw new TrainError("bad-data", `${place}: the line is not UTF-8${kind === null ? "" : `, the file is ${kind}`}`, {
      cause,
    });
  }
  if (text.trim() === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    // V8 names the position in the text, which is a single line.
    const at = / at position (\d+)/.exec(message)?.[1];
    throw new TrainError(
      "bad-data",
      `${place}: the line is not JSON${at === undefined ? "" : ` at column ${Number(at) + 1}`}: ${message}`,
      {
        cause,
      },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new TrainError("bad-data", `${place}: the line is not a JSON object`);
  return value as Readonly<Record<string, unknown>>; // a JSON object
}

/** Splits a stream of bytes into lines, without their ends. */
async function* lines(bytes: AsyncIterable<Uint8Array>, path: string): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const piece of bytes) {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...parts, piece.subarray(from, end)]);
      [parts, length, from] = [[], 0, end + 1];
    }
    if (from === piece.length) continue;
    parts.push(piece.slice(from));
    length += piece.length - from;
    if (length > MOST_LINE_BYTES)
      throw new TrainError("bad-data", `${path} has a line of more than ${MOST_LINE_BYTES} bytes`);
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

/** The most bytes of a row group of Parquet, uncompressed: it is held in memory. */
const MOST_GROUP_BYTES = 1024 ** 3;

/** Rows of a Parquet file, a row group at a time. */
async function* parquetRows(file: SourceFile, options: RowOptions): AsyncIterable<DataRow> {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
  await hashed(file, options);
  const handle = await open(file.path, "r");
  try {
    const buffer = bufferOf(handle, file.bytes);
    const metadata = await foreign(file, "Parquet", () => parquetMetadataAsync(buffer));
    const columns = await foreign(file, "Parquet", async () =>
      parquetSchema(metadata).children.map(({ element }) => element.name),
    );
    const wanted = options.columns === null ? columns : columns.filter((name) => options.columns!.has(name));
    let from = 0;
    for (const [i, group] of metadata.row_groups.entries()) {
      const [rows, bytes] = [Number(group.num_rows), Number(group.total_byte_size)];
      if (!(rows >= 0 && bytes >= 0 && bytes <= MOST_GROUP_BYTES))
        throw new TrainError(
          "bad-data",
          `${file.path}: row group ${i} has ${bytes} bytes, modc reads up to ${MOST_GROUP_BYTES}`,
          {
            hint: "write the file with smaller row groups",
          },
        );
      options.signal?.throwIfAborted();
      const read = (): Promise<readonly Record<string, unknown>[]> =>
        wanted.length === 0
          ? Promise.resolve(Array.from({ length: rows }, () => ({})))
          : parquetReadObjects({
              file: buffer,
              metadata,
              columns: wanted,
              rowStart: from,
              rowEnd: from + rows,
              compressors: COMPRESSORS,
            });
      for (const [n, values] of (await foreign(file, "Parquet", read)).entries())
        yield { place: `${file.path}, row ${from + n + 1}`, values: plainObject(values), columns, bytes: bytes / rows };
      from += rows;
    }
  } finally {
    await handle.close();
  }
}

/** Compressions besides Snappy, which hyparquet has. Node before 22.15 lacks Zstandard. */
const COMPRESSORS = {
  GZIP: (input: Uint8Array, size: number) => zlib.gunzipSync(input, { maxOutputLength: Math.max(1, size) }),
  BROTLI: (input: Uint8Array, size: number) => zlib.brotliDecompressSync(input, { maxOutputLength: Math.max(1, size) }),
  ZSTD: (input: Uint8Array, size: number) => {
    const { zstdDecompressSync } = zlib as Partial<Pick<typeof zlib, "brotliDecompressSync">> & {
      readonly zstdDecompressSync?: typeof zlib.brotliDecompressSync;
    };
    if (!zstdDecompressSync) throw new Error("it is compressed with Zstandard, which needs Node 22.15 or later");
    return zstdDecompressSync(input, { maxOutputLength: Math.max(1, size) });
  },
};

const bufferOf = (handle: FileHandle, byteLength: number) => ({
  byteLength,
  async slice(start: number, end: number = byteLength): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(end, byteLength) - start));
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) throw new Error("it is cut off");
      done += bytesRead;
    }
    return bytes.buffer;
  },
});

/** Rows of an Arrow file or stream, a record batch at a time. */
async function* arrowRows(file: SourceFile, options: RowOptions): AsyncIterable<DataRow> {
  const { RecordBatchReader } = await import("apache-arrow");
  await hashed(file, options);
  const handle = await open(file.path, "r");
  try {
    const reader = await foreign(file, "Arrow", async () => {
      const opening = RecordBatchReader.from(handle);
      return (await opening).open();
    });
    const batches = reader[Symbol.asyncIterator]();
    let number = 0;
    for (;;) {
      options.signal?.throwIfAborted();
      const { done, value: batch } = await foreign(file, "Arrow", () => batches.next());
      if (done === true) break;
      const columns = batch.schema.fields.map(({ name }) => name);
      for (let i = 0; i < batch.numRows; i++) {
        const values = await foreign(file, "Arrow", async () =>
          Object.fromEntries(
            batch.schema.fields.flatMap(({ name }, c): [string, unknown][] =>
              options.columns?.has(name) === false ? [] : [[name, plain(batch.getChildAt(c)?.get(i))]],
            ),
          ),
        );
        yield {
          place: `${file.path}, row ${++number}`,
          values,
          columns,
          bytes: file.bytes / Math.max(1, batch.numRows),
        };
      }
    }
  } finally {
    await handle.close();
  }
}

/** Hashes a file that is then read at places of its own. */
async function hashed(file: SourceFile, { hash, signal }: RowOptions): Promise<void> {
  for await (const _ of fileBytes(file, hash, signal)); // only the hash is needed
}

/** Runs a library on a file that may be damaged; converts its errors to TrainErrors. */
async function foreign<T>({ path }: SourceFile, format: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw new TrainError(
      "bad-data",
      `${path} cannot be read as ${format}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** A value in the form that JSON has: numbers for 64-bit integers, arrays for lists. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (ArrayBuffer.isView(value) || Array.isArray(value))
    return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if ("toArray" in value && typeof value.toArray === "function")
    return Array.from(value as unknown as Iterable<unknown>, plain);
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON());
  return plainObject(value);
}

const plainObject = (values: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, plain(value)]));

const READERS: Readonly<Record<RowKind, (file: SourceFile, options: RowOptions) => AsyncIterable<DataRow>>> = {
  lines: jsonRows,
  parquet: parquetRows,
  arrow: arrowRows,
};

/**
 * The rows of a file of rows, without blank lines. Throws TrainError with the row's place if the file is missing,
 * changed, or has invalid contents.
 */
export const rowsOf = (file: SourceFile & { readonly kind: RowKind }, options: RowOptions): AsyncIterable<DataRow> =>
  READERS[file.kind](file, options);
