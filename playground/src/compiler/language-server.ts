// The language server in the compiler's worker: the one that editors start as `modc lsp`, of the text in the page.
import { LanguageServer } from "../../../src/tools/lsp/server.js";
import { typingRequests } from "../../../src/tools/lsp/typing.js";

/** A text can import the library only. */
const host = {
  read: () => null,
  refusal: () => null,
  files: () => [],
  libraryUri: () => null,
  libraryFile: () => null,
};

/** The page asks for diagnostics by a call of its own, in the phase that it chooses: the server makes none by itself. */
const never = { after: () => () => undefined };

/** A page has no files, and asks for hints itself. */
const client = {
  publish: () => undefined,
  refreshHints: () => undefined,
  watchFiles: () => undefined,
  failed: () => undefined,
};

const server = new LanguageServer(host, client, never, "", typingRequests);
server.initialize({ processId: null, rootUri: null, capabilities: {} });

/** Takes a message of the protocol; returns the answer to a request, null to a notification. */
export function hear({ method, params }: { readonly method: string; readonly params: unknown }): unknown {
  if (server.handles(method)) return server.answer(method, params);
  server.notified(method, params);
  return null;
}
