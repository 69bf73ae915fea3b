// A client of the language server that is not ours: vscode-jsonrpc over two streams, of this process or of another.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from "vscode-jsonrpc/node";
import type {
  Diagnostic,
  InitializeResult,
  Position,
  PublishDiagnosticsParams,
  RegistrationParams,
} from "vscode-languageserver";
import { serveClient } from "../../../src/tools/cli/lsp/connection.js";
import { hostIn } from "../../../src/tools/cli/lsp/host.js";
import { main } from "../cli/spawn.js";

export interface ClientOptions {
  /** Files of the workspace by their paths. */
  readonly files?: Readonly<Record<string, string>>;
  readonly capabilities?: object;
  readonly settings?: object;
  /** Whether the server runs as a command in a separate process, like in editors. */
  readonly apart?: boolean;
}

export class Client {
  readonly folder = mkdtempSync(join(tmpdir(), "modc-lsp-"));
  readonly connection;
  readonly ended: Promise<number>;
  /** All that were published, in order. */
  readonly published: PublishDiagnosticsParams[] = [];
  readonly texts = new Map<string, { text: string; version: number }>();
  /** What the server has asked to be told of. */
  readonly registered: unknown[] = [];
  initialized!: InitializeResult;
  readonly #heard: (() => void)[] = [];

  private constructor(files: Readonly<Record<string, string>>, apart: boolean) {
    for (const [path, text] of Object.entries(files)) this.write(path, text);
    const env = { XDG_CACHE_HOME: join(this.folder, ".cache") };
    let [input, output]: [Writable, Readable] = [new PassThrough(), new PassThrough()];
    if (apart) {
      const server = spawn(process.execPath, [main, "lsp"], { stdio: ["pipe", "pipe", "inherit"], env });
      [input, output] = [server.stdin, server.stdout];
      this.ended = once(server, "exit").then(([code]) => Number(code));
    } else {
      const own = { input: input as PassThrough, output: output as PassThrough };
      this.ended = serveClient({ ...own, host: hostIn(env), version: "0.0.0" });
    }
    this.connection = createMessageConnection(new StreamMessageReader(output), new StreamMessageWriter(input));
    this.connection.onNotification("textDocument/publishDiagnostics", (found: PublishDiagnosticsParams) => {
      this.published.push(found);
      for (const hear of this.#heard.splice(0)) hear();
    });
    this.connection.onRequest("workspace/inlayHint/refresh", () => null);
    this.connection.onRequest("client/registerCapability", ({ registrations }: RegistrationParams) => {
      this.registered.push(...registrations);
      return null;
    });
    this.connection.listen();
  }

  static async start({ files = {}, capabilities = {}, settings, apart = false }: ClientOptions = {}): Promise<Client> {
    const client = new Client(files, apart);
    const uri = pathToFileURL(client.folder).href;
    client.initialized = await client.connection.sendRequest("initialize", {
      processId: null,
      rootUri: uri,
      workspaceFolders: [{ uri, name: "test" }],
      capabilities,
      ...(settings ? { initializationOptions: settings } : {}),
    });
    await client.connection.sendNotification("initialized", {});
    return client;
  }

  async stop(): Promise<number> {
    await this.connection.sendRequest("shutdown");
    await this.connection.sendNotification("exit");
    const code = await this.ended;
    this.connection.dispose();
    rmSync(this.folder, { recursive: true });
    return code;
  }

  write(path: string, text: string): void {
    const full = join(this.folder, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  uri(path: string): string {
    return pathToFileURL(join(this.folder, path)).href;
  }

  /** The part of an address that is the same on every machine. */
  name(uri: string): string {
    return uri.replace(pathToFileURL(this.folder).href + "/", "").replace(/^\.cache\/modc\/library-\w+\//, "");
  }

  async open(path: string, text: string): Promise<void> {
    this.texts.set(path, { text, version: 1 });
    const textDocument = { uri: this.uri(path), languageId: "modc", version: 1, text };
    await this.connection.sendNotification("textDocument/didOpen", { textDocument });
  }

  /** Replaces the first place of a text by another, as an edit. */
  async edit(path: string, from: string, to: string): Promise<void> {
    const known = this.texts.get(path)!;
    const at = known.text.indexOf(from);
    if (at < 0) throw new Error(`${path} does not have ${from}`);
    const range = { start: positionAt(known.text, at), end: positionAt(known.text, at + from.length) };
    known.text = known.text.slice(0, at) + to + known.text.slice(at + from.length);
    known.version++;
    await this.connection.sendNotification("textDocument/didChange", {
      textDocument: { uri: this.uri(path), version: known.version },
      contentChanges: [{ range, text: to }],
    });
  }

  async close(path: string): Promise<void> {
    this.texts.delete(path);
    await this.connection.sendNotification("textDocument/didClose", { textDocument: { uri: this.uri(path) } });
  }

  /** The diagnostics for the current text. */
  async diagnostics(path: string): Promise<readonly Diagnostic[]> {
    const version = this.texts.get(path)?.version;
    for (;;) {
      const found = this.published.findLast((p) => p.uri === this.uri(path));
      if (found && found.version === version) return found.diagnostics;
      await this.heard();
    }
  }

  /** The next time that diagnostics come. */
  heard(): Promise<void> {
    return new Promise((resolve) => void this.#heard.push(resolve));
  }

  /** A request about a place: in a text that is open, where `|` stands in `around`. */
  at<T>(method: string, path: string, around: string, more: object = {}): Promise<T> {
    return this.connection.sendRequest(method, { ...this.place(path, around), ...more });
  }

  place(
    path: string,
    around: string,
  ): { readonly textDocument: { readonly uri: string }; readonly position: Position } {
    const { text } = this.texts.get(path)!;
    const at = text.indexOf(around.replace("|", ""));
    if (at < 0) throw new Error(`${path} does not have ${around}`);
    return { textDocument: { uri: this.uri(path) }, position: positionAt(text, at + around.indexOf("|")) };
  }

  /** A request about a whole text. */
  about<T>(method: string, path: string, more: object = {}): Promise<T> {
    return this.connection.sendRequest(method, { textDocument: { uri: this.uri(path) }, ...more });
  }
}

export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length - 1, character: before.at(-1)!.length };
}
