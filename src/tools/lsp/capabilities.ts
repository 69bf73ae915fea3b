// The capabilities that the server announces.
import type { ServerCapabilities } from "vscode-languageserver";
import type { Encoding } from "../../language/editor/text.js";
import { TOKEN_MODIFIERS, TOKEN_TYPES } from "../../language/editor/tokens.js";

export const capabilities = (encoding: Encoding): ServerCapabilities => ({
  positionEncoding: encoding,
  // 2: incremental sync, changes arrive as edits.
  textDocumentSync: { openClose: true, change: 2, save: false },
  completionProvider: { triggerCharacters: [".", '"'] },
  hoverProvider: true,
  definitionProvider: true,
  referencesProvider: true,
  renameProvider: { prepareProvider: true },
  documentSymbolProvider: true,
  documentFormattingProvider: true,
  foldingRangeProvider: true,
  signatureHelpProvider: { triggerCharacters: ["(", ","], retriggerCharacters: [":"] },
  codeActionProvider: { codeActionKinds: ["quickfix"] },
  semanticTokensProvider: {
    legend: { tokenTypes: [...TOKEN_TYPES], tokenModifiers: [...TOKEN_MODIFIERS] },
    full: true,
  },
  inlayHintProvider: true,
});
