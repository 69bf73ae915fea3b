// The language server of `modc lsp` in the compiler's worker, for the text in the page.
import { LanguageServer } from "../../../src/tools/lsp/server.js";
import { typingRequests } from "../../../src/tools/lsp/typing.js";

/** The text can import only the library. */
const host = {
  read: () => null,
  refusal: () => null,
  files: () => [],
  libraryUri: () => null,
  libraryFile: () => null,
};

/** The page requests diagnostics by a separate call, in the phase that it chooses, so the server publishes none. */
const never = { after: () => () => undefined };

/** A page has no files, and requests hints itself. */
const client = {
  publish: () => undefined,
  refreshHints: () => undefined,
  watchFiles: () => undefined,
  failed: () => undefined,
};

const server = new LanguageServer(host, client, never, "", typingRequests);
server.initialize({ processId: null, rootUri: null, capabilities: {} });

/** Handles a message of the protocol. Returns the answer to a request, null for a notification. */
export function hear({ method, params }: { readonly method: string; readonly params: unknown }): unknown {
  if (server.handles(method)) return server.answer(method, params);
  server.notified(method, params);
  return null;
}
