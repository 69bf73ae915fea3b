// `modc lsp`: connects the language server with a client over two streams, by the protocol's own library.
import { type Readable, type Writable, Transform, type TransformCallback } from "node:stream";
import { setImmediate, setTimeout, clearImmediate, clearTimeout } from "node:timers";
import {
  createConnection,
  DidChangeWatchedFilesNotification,
  ErrorCodes,
  LSPErrorCodes,
  ResponseError,
  type WatchDog,
} from "vscode-languageserver";
import { createProtocolConnection, StreamMessageReader, StreamMessageWriter } from "vscode-languageserver/node";
import type { Host } from "../../../language/editor/host.js";
import { Refusal } from "../../lsp/context.js";
import { requests } from "../../lsp/requests.js";
import { LanguageServer, type Clock } from "../../lsp/server.js";
import { EXIT, type ExitCode, UserError } from "../terminal/exit.js";
import { quotedName } from "../../../ground/base/shown.js";
import { io } from "../terminal/io.js";
import { modcVersion } from "../tree/version.js";
import { hostIn } from "./host.js";

export interface Served {
  readonly input: Readable;
  readonly output: Writable;
  /** Made of the addresses of the workspace's folders. */
  readonly host: (folders: readonly string[]) => Host;
  readonly version: string;
}

const clock: Clock = {
  after: (ms, work) => {
    if (ms === 0) {
      const next = setImmediate(work);
      return () => clearImmediate(next);
    }
    const next = setTimeout(work, ms);
    return () => clearTimeout(next);
  },
};

/** How often it is looked whether the client's process still lives. */
const LOOK_MS = 5000;

/** Serves until the client says `exit`, closes the streams or is gone. Throws UserError for an unreadable message. */
export function serveClient({ input, output, host, version }: Served): Promise<ExitCode> {
  return new Promise((resolve, reject) => {
    let looking: NodeJS.Timeout | null = null;
    let done = false;
    let server: LanguageServer | null = null;
    const frames = new CheckedFrames();
    const end = (outcome: ExitCode | Error): void => {
      if (done) return;
      done = true;
      if (looking) clearInterval(looking);
      server?.dispose();
      connection.dispose();
      // A stream that is still read keeps the process.
      input.destroy();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const watchDog: WatchDog = {
      shutdownReceived: false,
      initialize: ({ processId }) => {
        if (processId === null) return;
        looking = setInterval(() => isAlive(processId) || end(EXIT.user), LOOK_MS);
        looking.unref();
      },
      // As the protocol says: a client that ends without asking first is at fault.
      exit: (code) => end(code === 0 ? EXIT.fine : EXIT.user),
    };
    const connection = createConnection(
      (logger) => createProtocolConnection(new StreamMessageReader(frames), new StreamMessageWriter(output), logger),
      watchDog,
    );
    connection.onInitialize((params) => {
      const folders = params.workspaceFolders?.map((f) => f.uri) ?? (params.rootUri ? [params.rootUri] : []);
      const client = {
        publish: (found: Parameters<typeof connection.sendDiagnostics>[0]) => void connection.sendDiagnostics(found),
        failed: (fault: unknown) => connection.console.error(textOf(fault)),
        watchFiles: () =>
          void connection.client
            .register(DidChangeWatchedFilesNotification.type, { watchers: [{ globPattern: "**/*.mod" }] })
            .catch(() => undefined),
        refreshHints: () => void connection.languages.inlayHint.refresh().catch(() => undefined),
      };
      server = new LanguageServer(host(folders), client, clock, version, requests);
      return server.initialize(params);
    });
    connection.onInitialized(() => server?.initialized());
    connection.onNotification((method, params) => server?.notified(method, params));
    connection.onRequest(async (method, params, token) => {
      if (!server?.handles(method)) throw new ResponseError(ErrorCodes.MethodNotFound, `no method ${method}`);
      // Messages that arrived before are handled first: edits, and the request's own cancellation.
      await new Promise((go) => void setImmediate(go));
      if (token.isCancellationRequested) throw new ResponseError(LSPErrorCodes.RequestCancelled, "cancelled");
      try {
        return await server.answer(method, params);
      } catch (fault) {
        if (fault instanceof Refusal) throw new ResponseError(LSPErrorCodes.RequestFailed, fault.message);
        throw fault;
      }
    });
    frames.on("end", () => end(watchDog.shutdownReceived ? EXIT.fine : EXIT.user));
    input.on("close", () => end(watchDog.shutdownReceived ? EXIT.fine : EXIT.user));
    frames.on("error", end);
    connection.listen();
    input.pipe(frames);
  });
}

const textOf = (fault: unknown): string => (fault instanceof Error ? (fault.stack ?? fault.message) : String(fault));

/** Whether a process exists. One of another user, which may not be signalled, does. */
export function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (fault) {
    return fault instanceof Error && "code" in fault && fault.code === "EPERM";
  }
}

// Checks the headers of the messages that a client sends. The protocol's library skips a header that it cannot read and
// takes the message's body for the next header, and so answers nothing from then on.

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

/** Always the streams of the process, whatever the client passes. */
export async function lsp(): Promise<ExitCode> {
  // Anything that a library prints would be read as a message of the protocol.
  return serveClient({ input: process.stdin, output: process.stdout, host: hostIn(io().env), version: modcVersion() });
}
