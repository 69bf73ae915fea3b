// Connects the language server with a client over two streams, by the protocol's own library.
import type { Readable, Writable } from "node:stream";
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
import { CheckedFrames } from "./framing.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";

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
      // What was sent before is taken first: edits, and the request's own cancellation.
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
