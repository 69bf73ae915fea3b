// Reads a safetensors file from the network as a stream. The header is checked against the model before tensors are
// allocated.
import { storedKey } from "../../ground/base/stored-part.js";
import { escapedName } from "../../ground/base/shown.js";
import { WeightsError } from "../device/errors.js";
import { headerBytes, parseHeader, TRUNCATED, type FileTensor } from "./formats/safetensors.js";
import type { WeightSource } from "./formats/source.js";

/** A response of `fetch`, declared without the DOM's types. */
export interface FetchedFile {
  readonly ok: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly type: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
  readonly bodyUsed: boolean;
  /** A stream of bytes. */
  readonly body: object | null;
}

export interface FetchedWeights extends WeightSource {
  /** Says which keys will be read, each once for each time that it is listed. Tensors without a key are skipped. */
  only(keys: readonly string[]): void;
}

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether tensors can be read again: all bytes read then stay in memory. */
  readonly keep?: boolean;
}

/** Fetches a file and reads its header. Throws WeightsError, and the reason of an aborted signal. */
export async function fetchWeights(url: string, options: FetchOptions = {}): Promise<FetchedWeights> {
  const { signal } = options;
  signal?.throwIfAborted();
  let response: FetchedFile;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw unreachable(url, cause);
  }
  return openResponse(response, options, url);
}

/** Reads the header of a response. */
export async function openResponse(
  response: FetchedFile,
  options: FetchOptions = {},
  url = response.url,
): Promise<FetchedWeights> {
  const name = escapedName(url || "the response");
  if (response.type === "opaque")
    throw new WeightsError(`${name} was fetched without permission to read it`, {
      hint: "fetch it without mode: no-cors",
    });
  const body = response.body as ReadableStream<Uint8Array> | null; // the body of a fetch
  const taken = response.bodyUsed || (body?.locked ?? false);
  if (!response.ok) {
    if (body && !taken) letGo(body);
    throw refused(name, response);
  }
  if (taken || body === null)
    throw new WeightsError(`${name} has nothing to read${taken ? " any more" : ""}`, {
      hint: "give its URL: a response can be read only once",
    });
  const stream = new ByteStream(body, name, options.signal);
  try {
    const size = sizeOf(response);
    const prefix = await stream.collect(8);
    const sent = { type: response.headers.get("content-type") };
    const header = await stream.collect(headerBytes(prefix, size ?? Infinity, name, sent));
    return new Streamed(name, parseHeader(header, size, name).tensors, stream, options.keep ?? false);
  } catch (error) {
    stream.cancel();
    throw error;
  }
}

/** Cancels a stream without waiting; a failure does not matter, as the stream is not read any more. */
function letGo(stream: { cancel(): Promise<void> }): void {
  stream.cancel().catch(() => {});
}

/** Bytes of the file; null where the server does not report them, or may report the compressed size. */
function sizeOf({ headers, type }: FetchedFile): number | null {
  const length = headers.get("content-length");
  // The encoding of a response from another origin is hidden.
  return length === null || !/^\d+$/.test(length) || type === "cors" || headers.get("content-encoding") !== null
    ? null
    : Number(length);
}

function refused(name: string, { status, statusText }: FetchedFile): WeightsError {
  const hint = new Map([
    [404, "is the address right?"],
    [401, "the server requires a login: fetch it with credentials, and pass the response"],
    [403, "the server refuses access to it"],
  ]).get(status);
  return new WeightsError(
    `${name} cannot be fetched: the server answered ${status}${statusText ? ` ${escapedName(statusText)}` : ""}`,
    hint === undefined ? {} : { hint },
  );
}

/** The error of a failed fetch. A page does not learn the reason, only whether the file is on another origin. */
function unreachable(url: string, cause: unknown): WeightsError {
  const reason = reasonOf(cause);
  const page = (globalThis as { readonly location?: { readonly href: string; readonly origin: string } }).location;
  const foreign = page !== undefined && URL.canParse(url, page.href) && new URL(url, page.href).origin !== page.origin;
  const hint = foreign
    ? `if the server is up, it must allow pages of ${page.origin} to read the file: Access-Control-Allow-Origin`
    : "is the address right, and the server up?";
  return new WeightsError(`${escapedName(url)} cannot be reached: ${reason}`, { hint, cause });
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const inner = cause.cause;
  // it has an error for each address of a host
  const reason = inner instanceof AggregateError && inner.errors.length > 0 ? (inner.errors[0] as unknown) : inner;
  return escapedName(reason instanceof Error && reason.message !== "" ? reason.message : cause.message);
}

/** Reads tensors in the order of the file, and allocates each when its bytes arrive. */
class Streamed implements FetchedWeights {
  readonly #order: readonly (readonly [string, FileTensor])[];
  readonly #responses = new Map<string, Uint8Array>();
  /** How often each tensor is still to be read; null: each once. */
  #wanted: Map<string, number> | null = null;
  /** How many tensors were read or skipped. */
  #came = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly name: string,
    readonly tensors: ReadonlyMap<string, FileTensor>,
    private readonly stream: ByteStream,
    private readonly keep: boolean,
  ) {
    this.#order = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  }

  only(keys: readonly string[]): void {
    const reads = new Map<string, number>();
    // Each weight that is a part of a tensor reads the tensor once.
    for (const key of keys.map(storedKey)) reads.set(key, (reads.get(key) ?? 0) + 1);
    this.#wanted = reads;
  }

  /** Reads one tensor at a time, as there is only one stream. */
  read(key: string): Promise<Uint8Array> {
    const bytes = this.#turn.then(
      () => this.#read(key),
      () => this.#read(key),
    );
    this.#turn = bytes;
    return bytes;
  }

  async #read(key: string): Promise<Uint8Array> {
    if (!this.tensors.has(key)) throw new WeightsError(`${this.name} has no tensor ${JSON.stringify(key)}`);
    while (!this.#responses.has(key) && this.#came < this.#order.length) {
      const [next, { bytes }] = this.#order[this.#came]!;
      if (next === key || (this.#wanted?.has(next) ?? true))
        this.#responses.set(next, await this.stream.readInto(new Uint8Array(bytes)));
      else await this.stream.skip(bytes);
      if (++this.#came === this.#order.length) await this.stream.expectEnd();
    }
    const data = this.#responses.get(key);
    if (data === undefined)
      throw new WeightsError(`${this.name}: tensor ${JSON.stringify(key)} was already passed in the stream`, {
        hint: "give its URL: a response can be read only once",
      });
    const left = (this.#wanted?.get(key) ?? 1) - 1;
    this.#wanted?.set(key, left);
    if (!this.keep && left <= 0) this.#responses.delete(key);
    return data;
  }

  async close(): Promise<void> {
    this.#responses.clear();
    this.stream.cancel();
  }
}

const ended = (name: string, byte: number): WeightsError =>
  new WeightsError(`${name} is truncated: it ends at byte ${byte}`, { hint: TRUNCATED });

/** Reads bytes from a stream in order. */
class ByteStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  #read = 0;
  #ended = false;

  constructor(
    stream: ReadableStream<Uint8Array>,
    private readonly name: string,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#reader = stream.getReader();
  }

  /** Reads `bytes` bytes, a number that is not trusted: memory is allocated as they arrive. */
  async collect(bytes: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (let left = bytes; left > 0;) {
      const piece = await this.#some(left);
      pieces.push(piece);
      left -= piece.length;
    }
    const out = new Uint8Array(bytes);
    let at = 0;
    for (const piece of pieces) {
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }

  async readInto(target: Uint8Array): Promise<Uint8Array> {
    for (let at = 0; at < target.length;) {
      const piece = await this.#some(target.length - at);
      target.set(piece, at);
      at += piece.length;
    }
    return target;
  }

  async skip(bytes: number): Promise<void> {
    for (let left = bytes; left > 0;) left -= (await this.#some(left)).length;
  }

  async expectEnd(): Promise<void> {
    while (this.#rest.length === 0) if (!(await this.#next())) return;
    throw new WeightsError(`${this.name}: bytes after byte ${this.#read} belong to no tensor`);
  }

  /** Cancels the rest of the stream. */
  cancel(): void {
    if (this.#ended) return;
    this.#ended = true;
    letGo(this.#reader);
  }

  /** Reads one to `most` bytes; throws at the end of the stream. */
  async #some(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) if (!(await this.#next())) throw ended(this.name, this.#read);
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    this.#read += piece.length;
    return piece;
  }

  /** Reads the next chunk; false at the end of the stream. */
  async #next(): Promise<boolean> {
    this.signal?.throwIfAborted();
    try {
      const { done, value } = await this.#reader.read();
      if (value) this.#rest = value;
      this.#ended = done;
      return !done;
    } catch (cause) {
      this.#ended = true;
      this.signal?.throwIfAborted();
      throw new WeightsError(`${this.name} broke off after ${this.#read} bytes: ${reasonOf(cause)}`, {
        hint: "load it again, or fetch it completely first and pass its bytes",
        cause,
      });
    }
  }
}
