// The extension of VS Code: starts the language server, and shows pictures and kernels that it is asked for.
import * as vscode from "vscode";
import {
  LanguageClient,
  TransportKind,
  type LanguageClientOptions,
  type ServerOptions,
} from "vscode-languageclient/node";

/** What the server answers to `modc/kernels` and `modc/picture`. */
interface Kernel {
  readonly name: string;
  readonly wgsl: string;
}
interface Picture {
  readonly title: string;
  readonly html: string;
}

let client: LanguageClient | null = null;
/** Texts of kernels by the address that shows them. */
const shown = new Map<string, string>();

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.workspace.registerTextDocumentContentProvider("modc-kernels", {
      provideTextDocumentContent: (uri) => shown.get(uri.toString()) ?? "",
    }),
    vscode.commands.registerCommand("modc.showPicture", showPicture),
    vscode.commands.registerCommand("modc.showKernels", showKernels),
    vscode.commands.registerCommand("modc.restart", async () => {
      await client?.stop();
      await start(context);
    }),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (!event.affectsConfiguration("modc.server.path")) return;
      await client?.stop();
      await start(context);
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(async () => {
      await client?.stop();
      await start(context);
    }),
  );
  await start(context);
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

async function start(context: vscode.ExtensionContext): Promise<void> {
  const settings = vscode.workspace.getConfiguration("modc");
  // A workspace that is not trusted chooses no program that is run.
  const path = vscode.workspace.isTrusted ? settings.get<string>("server.path", "") : "";
  const server: ServerOptions =
    path === ""
      ? { module: context.asAbsolutePath("server.mjs"), transport: TransportKind.stdio }
      : { command: path, args: ["lsp"] };
  const options: LanguageClientOptions = {
    documentSelector: [
      { scheme: "file", language: "modc" },
      { scheme: "untitled", language: "modc" },
    ],
    initializationOptions: settings,
    synchronize: { configurationSection: "modc", fileEvents: vscode.workspace.createFileSystemWatcher("**/*.mod") },
  };
  client = new LanguageClient("modc", "modc", server, options);
  await client.start();
}

/** Where the cursor is, in a model; null elsewhere. */
function here(): { readonly textDocument: { readonly uri: string }; readonly position: vscode.Position } | null {
  const editor = vscode.window.activeTextEditor;
  if (!client || editor?.document.languageId !== "modc") return null;
  const textDocument = { uri: client.code2ProtocolConverter.asUri(editor.document.uri) };
  return { textDocument, position: editor.selection.active };
}

async function showKernels(): Promise<void> {
  const place = here();
  if (!client || !place) return;
  const kernels = await client.sendRequest<readonly Kernel[]>("modc/kernels", place);
  if (kernels.length === 0) {
    void vscode.window.showInformationMessage("No kernel comes of this line, or the model has errors.");
    return;
  }
  const uri = vscode.Uri.parse(`modc-kernels:line ${place.position.line + 1}.wgsl?${Date.now()}`);
  shown.set(uri.toString(), kernels.map(({ name, wgsl }) => `// ${name}\n${wgsl}`).join("\n\n"));
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preview: true });
}

async function showPicture(): Promise<void> {
  const place = here();
  if (!client || !place) return;
  const picture = await client.sendRequest<Picture | null>("modc/picture", place);
  if (picture === null) {
    void vscode.window.showInformationMessage("There is no model without errors in this file.");
    return;
  }
  const panel = vscode.window.createWebviewPanel("modc.picture", picture.title, vscode.ViewColumn.Beside, {
    enableScripts: false,
  });
  panel.webview.html = picture.html;
}
