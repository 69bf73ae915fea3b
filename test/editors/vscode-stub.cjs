// A stand-in for VS Code's module: enough for the extension to start, open a model and be shown what the server finds.
"use strict";
const { EventEmitter } = require("node:events");

const events = new EventEmitter();
/** What was registered and shown, for the test to read. */
const seen = { commands: new Map(), diagnostics: [], providers: [], panels: [], errors: [] };

const disposable = () => ({ dispose() {} });
const event = (name) => (listener, own) => {
  const bound = listener.bind(own);
  events.on(name, bound);
  return { dispose: () => events.off(name, bound) };
};

function Position(line, character) {
  return { line, character };
}
function Range(start, end, endLine, endCharacter) {
  return typeof start === "number"
    ? { start: Position(start, end), end: Position(endLine, endCharacter) }
    : { start, end };
}
class Uri {
  constructor(text) {
    this.text = text;
    this.scheme = text.slice(0, text.indexOf(":"));
    this.path = text.replace(/^[\w-]+:(\/\/)?/, "");
    this.fsPath = this.path;
  }
  static parse(text) {
    return new Uri(text);
  }
  static file(path) {
    return new Uri(`file://${path}`);
  }
  toString() {
    return this.text;
  }
  with() {
    return this;
  }
}
class Disposable {
  constructor(dispose) {
    this.dispose = dispose ?? (() => {});
  }
  static from(...all) {
    return new Disposable(() => all.forEach((d) => d.dispose()));
  }
}
class CancellationTokenSource {
  token = { isCancellationRequested: false, onCancellationRequested: () => disposable() };
  cancel() {}
  dispose() {}
}
class Emitter {
  #own = new EventEmitter();
  event = (listener) => {
    this.#own.on("it", listener);
    return disposable();
  };
  fire(value) {
    this.#own.emit("it", value);
  }
  dispose() {}
}

/** Anything with a capital letter is a class that keeps what it is given; anything else a function that does nothing. */
const fallback = (known) =>
  new Proxy(known, {
    get(target, name) {
      if (name in target || typeof name === "symbol") return target[name];
      if (/^[A-Z]/.test(name))
        target[name] = new Proxy(
          class {
            given;
            constructor(...given) {
              this.given = given;
            }
            toString() {
              return String(this.given);
            }
          },
          { get: (own, field) => (field in own || typeof field === "symbol" ? own[field] : field) },
        );
      else if (name.startsWith("on")) target[name] = () => disposable();
      else target[name] = () => disposable();
      return target[name];
    },
  });

const settings = (all) => ({
  get: (name, usual) => name.split(".").reduce((value, key) => value?.[key], all) ?? usual,
  has: () => false,
  inspect: () => undefined,
  ...all,
});

const documents = [];
const workspace = fallback({
  isTrusted: true,
  workspaceFolders: [{ uri: Uri.file(process.env.MODC_FOLDER), name: "test", index: 0 }],
  textDocuments: documents,
  notebookDocuments: [],
  getConfiguration: (section) => settings(section === "modc" ? { server: { path: "" }, length: 64 } : {}),
  createFileSystemWatcher: () => ({
    onDidCreate: () => disposable(),
    onDidChange: () => disposable(),
    onDidDelete: () => disposable(),
    dispose() {},
  }),
  onDidOpenTextDocument: event("open"),
  onDidChangeTextDocument: event("change"),
  onDidCloseTextDocument: event("close"),
  openTextDocument: async (uri) => ({ uri, text: seen.content.provideTextDocumentContent(uri) }),
  registerTextDocumentContentProvider: (_, provider) => ((seen.content = provider), disposable()),
  getWorkspaceFolder: () => workspace.workspaceFolders[0],
  asRelativePath: (path) => String(path),
});
const languages = fallback({
  match: (selector, document) =>
    [selector].flat().some((s) => s.language === document.languageId && (!s.scheme || s.scheme === document.uri.scheme))
      ? 10
      : 0,
  createDiagnosticCollection: () => ({
    set: (uri, all) => seen.diagnostics.push({ uri: uri.toString(), all }),
    delete() {},
    clear() {},
    dispose() {},
  }),
});
for (const kind of [
  "CompletionItem",
  "Hover",
  "Definition",
  "Reference",
  "Rename",
  "SignatureHelp",
  "DocumentSymbol",
  "FoldingRange",
  "DocumentFormattingEdit",
  "CodeActions",
  "InlayHints",
  "DocumentSemanticTokens",
])
  languages[`register${kind}Provider`] = (...given) => {
    seen.providers.push(kind);
    if (kind === "InlayHints") seen.hints = given[1];
    return disposable();
  };

const window = fallback({
  createOutputChannel: () => ({
    append: (text) => seen.errors.push(text),
    appendLine: (text) => seen.errors.push(text),
    ...Object.fromEntries(
      ["error", "warn", "info", "debug", "trace"].map((n) => [n, (text) => seen.errors.push(text)]),
    ),
    show() {},
    clear() {},
    dispose() {},
    logLevel: 0,
    onDidChangeLogLevel: () => disposable(),
  }),
  showErrorMessage: async (text) => void seen.errors.push(text),
  showInformationMessage: async (text) => void seen.errors.push(text),
  showTextDocument: async (document) => void (seen.shown = document),
  createWebviewPanel: (_, title) => {
    const panel = { title, webview: { html: "" } };
    seen.panels.push(panel);
    return panel;
  },
  visibleTextEditors: [],
  visibleNotebookEditors: [],
  tabGroups: { all: [], onDidChangeTabs: () => disposable(), onDidChangeTabGroups: () => disposable() },
  activeTextEditor: undefined,
});

const vscode = fallback({
  Position,
  Range,
  Uri,
  Disposable,
  CancellationTokenSource,
  EventEmitter: Emitter,
  workspace,
  languages,
  window,
  ViewColumn: { Beside: -2 },
  version: "1.91.0",
  env: fallback({ appName: "stub", language: "en", uriScheme: "vscode" }),
  l10n: { t: (text) => text },
  extensions: fallback({ all: [] }),
  commands: fallback({
    registerCommand: (name, act) => (seen.commands.set(name, act), disposable()),
    executeCommand: async () => undefined,
  }),
});
module.exports = vscode;
module.exports.stub = { seen, events, documents };
