// The language server without its transport: the state for one client, and the scheduling of checks and diagnostics.
import type {
  DidChangeConfigurationParams,
  DidChangeTextDocumentParams,
  DidChangeWatchedFilesParams,
  DidCloseTextDocumentParams,
  DidOpenTextDocumentParams,
  InitializeParams,
  InitializeResult,
  PublishDiagnosticsParams,
} from "vscode-languageserver";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { Host } from "../../language/editor/host.js";
import { CostHints, type CostSizes } from "./costs.js";
import { Project, type Reviewed } from "../../language/editor/project.js";
import type { Encoding } from "../../language/editor/text.js";
import { canonical } from "../../language/editor/uris.js";
import { capabilities } from "./capabilities.js";
import { carried, diagnostic as toDiagnostic } from "./convert.js";
import { type Context, type Requests, DEFAULTS, settingsOf, type Settings } from "./context.js";

export interface Client {
  publish(params: PublishDiagnosticsParams): void;
  /** Asks the editor to request inlay hints again. */
  refreshHints(): void;
  /** Asks the editor to report changes of model files on the disk. */
  watchFiles(): void;
  /** Reports an internal error; the server continues. */
  failed(fault: unknown): void;
}

/** Schedules deferred work. */
export interface Clock {
  /**
   * Calls back after some milliseconds, once waiting messages have been handled. Returns a function that cancels the
   * call.
   */
  after(ms: number, work: () => void): () => void;
}

/** The pause in typing, in milliseconds, after which a text is checked. */
const PAUSE = 5;
/** The time, in milliseconds, for a message to be sent before the next computation. */
const SENDING = 2;
/** The pause in typing, in milliseconds, after which costs are computed. */
const IDLE = 150;

export class LanguageServer {
  readonly project: Project;
  readonly #costs: CostHints;
  #settings: Settings = DEFAULTS;
  /** Sources to check, and the function that cancels the next step. */
  readonly #waiting = new Set<string>();
  #takeBack: (() => void) | null = null;
  /** Checked sources whose diagnostics are not published yet. */
  readonly #finished = new Set<string>();
  /** The files with diagnostics, by root source. */
  readonly #published = new Map<string, Published>();
  /** The last published message for each file; absent for closed files without diagnostics. */
  readonly #sent = new Map<string, string>();
  #refreshes = false;
  #canWatch = false;
  /** Functions that cancel a scheduled cost computation, by root source. */
  readonly #later = new Map<string, () => void>();

  constructor(
    readonly host: Host,
    readonly client: Client,
    readonly clock: Clock,
    readonly version: string,
    readonly requests: Requests,
  ) {
    this.project = new Project(host);
    this.#costs = new CostHints(this.project);
  }

  initialize({ capabilities: can, initializationOptions }: InitializeParams): InitializeResult {
    this.project.encoding = encodingOf(can.general?.positionEncodings ?? []);
    this.#refreshes = can.workspace?.inlayHint?.refreshSupport === true;
    this.#canWatch = can.workspace?.didChangeWatchedFiles?.dynamicRegistration === true;
    this.#take(initializationOptions);
    return {
      capabilities: capabilities(this.project.encoding),
      serverInfo: { name: "modc", version: this.version },
    };
  }

  /** From now on requests may be sent to the client. */
  initialized(): void {
    if (this.#canWatch) this.client.watchFiles();
  }

  /** Cancels all work; nothing is sent any more. */
  dispose(): void {
    this.#takeBack?.();
    for (const takeBack of this.#later.values()) takeBack();
    this.#waiting.clear();
  }

  // --- notifications

  /** Unknown notifications are ignored. */
  notified(method: string, params: unknown): void {
    // Marked boundary: the client sends the parameters that the protocol specifies for these methods.
    switch (method) {
      case "textDocument/didOpen":
        return this.opened(params as DidOpenTextDocumentParams);
      case "textDocument/didChange":
        return this.edited(params as DidChangeTextDocumentParams);
      case "textDocument/didClose":
        return this.closed(params as DidCloseTextDocumentParams);
      case "workspace/didChangeWatchedFiles":
        return this.filesChanged(params as DidChangeWatchedFilesParams);
      case "workspace/didChangeConfiguration":
        return this.configured((params as DidChangeConfigurationParams).settings);
      default:
        return undefined;
    }
  }

  opened({ textDocument: { uri, text, version } }: DidOpenTextDocumentParams): void {
    const dependents = this.project.rootsOf(this.project.fileOf(uri));
    this.#check(this.project.open(uri, text, version), dependents);
  }

  edited({ textDocument: { uri, version }, contentChanges }: DidChangeTextDocumentParams): void {
    const dependents = this.project.rootsOf(this.project.fileOf(uri));
    const file = this.project.edit(uri, contentChanges, version ?? null);
    if (file !== null) this.#check(file, dependents);
  }

  closed({ textDocument: { uri } }: DidCloseTextDocumentParams): void {
    const file = this.project.fileOf(uri);
    const dependents = this.project.rootsOf(file);
    this.project.close(uri);
    this.#waiting.delete(file);
    this.#finished.delete(file);
    this.#later.get(file)?.();
    this.#later.delete(file);
    const before = this.#published.get(file)?.files.keys() ?? [];
    this.#published.delete(file);
    this.#costs.forget(file);
    for (const shown of new Set([file, ...before])) this.#publish(shown);
    // Open sources that import this file now read the file from the disk.
    for (const root of dependents) if (root !== file && this.project.isOpen(root)) this.#await(root);
  }

  filesChanged({ changes }: DidChangeWatchedFilesParams): void {
    for (const { uri } of changes) this.project.changedOnDisk(canonical(uri));
    for (const file of this.project.openFiles) this.#await(file);
  }

  configured(settings: unknown): void {
    this.#take(settings);
    this.project.changedAll();
    for (const file of this.project.openFiles) this.#await(file);
    this.#refresh();
  }

  #take(sent: unknown): void {
    this.#settings = settingsOf(sent, this.#settings);
    this.project.settings = { set: this.#settings.set };
  }

  // --- requests

  handles(method: string): boolean {
    return Object.hasOwn(this.requests, method);
  }

  /** Throws Refusal for a request that cannot be fulfilled. */
  answer(method: string, params: unknown): unknown {
    const context: Context = {
      project: this.project,
      settings: this.#settings,
      ensureChecked: (file) => this.#checkNow(file),
      ensureReviewed: (file) => this.#reviewNow(file),
      costs: (file) => this.#costsOf(file),
    };
    for (const root of this.project.looksAgain()) if (this.project.isOpen(root)) this.#await(root);
    // Marked boundary: the client sends the parameters that the protocol specifies for this method.
    const handler = this.requests[method] as unknown as (context: Context, params: unknown) => unknown;
    return handler(context, params);
  }

  /** Runs the first check of a file's root sources, on the current texts. */
  #checkNow(file: string): void {
    for (const root of this.project.rootsOf(file)) this.project.firstStep(root);
  }

  /**
   * Completes the reviews of a file's root sources and of all open texts, since other texts may pass blocks to this
   * file's parameters.
   */
  #reviewNow(file: string): void {
    for (const root of new Set([...this.project.rootsOf(file), ...this.project.openFiles])) this.project.reviewed(root);
  }

  // --- costs

  /**
   * If the editor supports hint refresh, returns the earlier costs and computes new ones later. Otherwise computes new
   * costs now.
   */
  #costsOf(file: string): CostHints {
    for (const root of this.project.rootsOf(file)) {
      if (!this.project.isOpen(root)) continue;
      if (this.#costs.isCurrent(root, sizesOf(this.#settings))) continue;
      if (!this.#refreshes) this.#computeCosts(root);
      else if (this.#waiting.size === 0) this.#computeLater(root);
    }
    return this.#costs;
  }

  /** Computes costs after a pause in typing, because this takes longer than a check. */
  #computeLater(root: string): void {
    this.#later.get(root)?.();
    const takeBack = this.clock.after(IDLE, () => {
      this.#later.delete(root);
      if (this.#costs.isCurrent(root, sizesOf(this.#settings))) return;
      this.#computeCosts(root);
      if (this.#costs.isCurrent(root, sizesOf(this.#settings))) this.client.refreshHints();
    });
    this.#later.set(root, takeBack);
  }

  /** Reports an internal error once; the text then has no costs. */
  #computeCosts(root: string): void {
    try {
      this.#costs.compute(root, sizesOf(this.#settings));
    } catch (fault) {
      this.client.failed(fault);
    }
  }

  // --- diagnostics

  /** Checks a text after a short pause in typing, together with the texts that import it or tried to. */
  #check(file: string, dependents: readonly string[]): void {
    for (const root of [file, ...dependents]) if (this.project.isOpen(root)) this.#await(root);
    for (const [root, { texts }] of this.#published)
      if (texts.has(file) && this.project.isOpen(root)) this.#await(root);
  }

  #await(root: string): void {
    if (this.project.isLibrary(root)) return;
    this.#waiting.add(root);
    this.#takeBack?.();
    this.#takeBack = this.clock.after(PAUSE, () => this.#next());
  }

  /** Runs the next step of a check. Messages that arrive meanwhile are handled before the next step. */
  #next(): void {
    this.#takeBack = null;
    const [root] = this.#waiting;
    if (root === undefined) {
      // All waiting sources were closed.
      if (this.#finished.size > 0) this.#finish();
      return;
    }
    let pause = 0;
    if (!this.#step(root)) {
      this.#waiting.delete(root);
      this.#finished.add(root);
    } else if (this.#waiting.size === 1 && this.#finished.size === 0 && this.#publishFirst(root)) pause = SENDING;
    if (this.#waiting.size > 0) this.#takeBack = this.clock.after(pause, () => this.#next());
    else this.#finish();
  }

  /**
   * Returns false if the check has ended. After an internal error the source has no diagnostics, rather than outdated
   * ones.
   */
  #step(root: string): boolean {
    try {
      return this.project.step(root);
    } catch (fault) {
      this.client.failed(fault);
      return false;
    }
  }

  /**
   * Publishes the diagnostics of the first check, if a source has several checks. Until the remaining checks have run,
   * their earlier diagnostics are carried over; if the first check finds errors, they are dropped, since later checks
   * then seldom add any. Returns whether diagnostics were published.
   */
  #publishFirst(root: string): boolean {
    const reviewed = this.project.underWay(root);
    const before = this.#published.get(root);
    if (!reviewed || !before || reviewed.steps.length !== 1) return false;
    const { texts, steps } = reviewed;
    const diagnostics = steps[0]!.diagnostics.filter((d) => d.code !== "no-model");
    const wrong = diagnostics.some((d) => d.severity === "error");
    const later = wrong ? [] : carried(before.later, before.texts, texts);
    const files = this.#byFile(reviewed, [...diagnostics, ...later]);
    this.#published.set(root, { texts, files, later });
    for (const file of new Set([...before.files.keys(), ...files.keys()])) this.#publish(file);
    return true;
  }

  /** Publishes the diagnostics of all finished sources, once for each file. */
  #finish(): void {
    const files = new Set<string>();
    for (const root of this.#finished) {
      const reviewed = this.project.underWay(root);
      for (const file of this.#published.get(root)?.files.keys() ?? []) files.add(file);
      if (!reviewed?.review) {
        this.#published.delete(root);
        continue;
      }
      const { diagnostics } = reviewed.review;
      const first = new Set(reviewed.steps[0]?.diagnostics);
      const later = diagnostics.filter((d) => !first.has(d));
      const found = { texts: reviewed.texts, files: this.#byFile(reviewed, diagnostics), later };
      this.#published.set(root, found);
      for (const file of found.files.keys()) files.add(file);
    }
    this.#finished.clear();
    for (const file of files) this.#publish(file);
    this.#refresh();
  }

  /**
   * Groups diagnostics by the file in which to show them. If that file cannot be opened, they appear at the beginning
   * of the root source.
   */
  #byFile({ texts }: Reviewed, diagnostics: readonly Diagnostic[]): ReadonlyMap<string, readonly Diagnostic[]> {
    const files = new Map<string, Diagnostic[]>([...texts.keys()].map((file) => [file, []]));
    const [root] = texts.keys();
    for (const d of diagnostics) {
      const ofFile = files.get(d.span.file);
      if (ofFile) ofFile.push(d);
      else files.get(root!)?.push({ ...d, span: { file: root!, start: 0, end: 0 } });
    }
    return files;
  }

  /** Sends the diagnostics for a file, merged over all sources that report some for this file. */
  #publish(file: string): void {
    const uri = this.project.uriOf(file);
    if (uri === null) return;
    const text = this.project.textWithOffsetsOf(file);
    const all = new Map<string, Diagnostic>();
    // Only diagnostics of the current text, not of an earlier version.
    for (const { texts, files } of this.#published.values())
      for (const d of (texts.get(file) === text?.text && files.get(file)) || [])
        all.set(`${d.span.start} ${d.span.end} ${d.code} ${d.message}`, d);
    const version = this.project.versionOf(file);
    const diagnostics = text ? [...all.values()].map((d) => toDiagnostic(this.project, text, d)) : [];
    // An unchanged message is not sent again.
    const sent = JSON.stringify([version, diagnostics]);
    if ((this.#sent.get(file) ?? NOTHING) === sent) return;
    if (sent === NOTHING) this.#sent.delete(file);
    else this.#sent.set(file, sent);
    this.client.publish({ uri, ...(version === null ? {} : { version }), diagnostics });
  }

  #refresh(): void {
    if (this.#refreshes) this.client.refreshHints();
  }
}

/** The message for a closed file without diagnostics. It is not sent for a file that had none before. */
const NOTHING = JSON.stringify([null, []]);

const sizesOf = ({ batch, length }: Settings): CostSizes => ({ batch, length });

/** The result of a source's last check. */
interface Published {
  readonly texts: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, readonly Diagnostic[]>;
  /** Diagnostics found by later checks only. */
  readonly later: readonly Diagnostic[];
}

/** The client's first supported encoding; UTF-16 if the client states none, as the protocol requires. */
function encodingOf(offered: readonly string[]): Encoding {
  const known: readonly Encoding[] = ["utf-8", "utf-16", "utf-32"];
  return offered.flatMap((o) => known.find((k) => k === o) ?? [])[0] ?? "utf-16";
}
