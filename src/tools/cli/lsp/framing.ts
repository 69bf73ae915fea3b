// Checks the headers of the messages that a client sends. The protocol's library skips a header that it cannot read and
// takes the message's body for the next header, and so answers nothing from then on.
import { Transform, type TransformCallback } from "node:stream";
import { quotedName } from "../../../ground/base/shown.js";
import { UserError } from "../terminal/exit.js";

/** Limits on a header and on a message: a source has at most 4 MiB. */
const MAX_HEADER = 4096;
const MAX_MESSAGE = 64 * 2 ** 20;

const END = Buffer.from("\r\n\r\n");

/**
 * Passes the bytes of messages on, unchanged. Ends with a UserError at the first header without a length in bytes
 * (LSP specification, "Base Protocol"): after it, the next message cannot be found.
 */
export class CheckedFrames extends Transform {
  /** The part of a header that has arrived. */
  #header = Buffer.alloc(0);
  /** Bytes of the message's body that have not arrived. */
  #missing = 0;

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    try {
      for (let rest = chunk; rest.length > 0;) rest = this.#missing > 0 ? this.#takeBody(rest) : this.#takeHeader(rest);
      done();
    } catch (fault) {
      done(fault instanceof Error ? fault : new Error(String(fault)));
    }
  }

  #takeBody(bytes: Buffer): Buffer {
    const body = bytes.subarray(0, this.#missing);
    this.#missing -= body.length;
    this.push(body);
    return bytes.subarray(body.length);
  }

  #takeHeader(bytes: Buffer): Buffer {
    const before = this.#header.length;
    const header = Buffer.concat([this.#header, bytes.subarray(0, MAX_HEADER + END.length - before)]);
    const end = header.indexOf(END);
    if (end === -1) {
      if (header.length >= MAX_HEADER) throw unreadable(`a header has more than ${MAX_HEADER} bytes`);
      this.#header = header;
      return bytes.subarray(bytes.length);
    }
    this.#missing = lengthIn(header.toString("latin1", 0, end));
    this.#header = Buffer.alloc(0);
    this.push(header.subarray(0, end + END.length));
    return bytes.subarray(end + END.length - before);
  }
}

function lengthIn(header: string): number {
  const fields = header.split("\r\n").map((line) => /^([^:]+):[ \t]*(.*?)[ \t]*$/.exec(line));
  if (fields.includes(null)) throw unreadable(`the header ${quotedName(header)} is not a list of fields`);
  const lengths = fields.filter((field) => field?.[1]?.toLowerCase() === "content-length");
  const [length] = lengths;
  if (length?.[2] === undefined || lengths.length > 1)
    throw unreadable(`a header has ${lengths.length} Content-Length`);
  const bytes = /^\d{1,15}$/.test(length[2]) ? Number(length[2]) : null;
  if (bytes === null) throw unreadable(`Content-Length is ${quotedName(length[2])}`);
  if (bytes > MAX_MESSAGE) throw unreadable(`Content-Length is ${bytes}, more than ${MAX_MESSAGE}`);
  return bytes;
}

const unreadable = (reason: string): UserError =>
  new UserError(
    `the client's messages cannot be read: ${reason}`,
    "a message begins with `Content-Length: <bytes>` and an empty line; restart the server from the editor",
  );
