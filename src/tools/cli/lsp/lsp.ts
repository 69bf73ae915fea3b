// `modc lsp`: the language server on standard input and output, until its client ends it.
import type { ExitCode } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { modcVersion } from "../tree/version.js";
import { serveClient } from "./connection.js";
import { hostIn } from "./host.js";

/** Whatever a client gives with it, the streams are those of the process. */
export async function lsp(): Promise<ExitCode> {
  // Whatever a library prints would be taken for a message of the protocol.
  return serveClient({ input: process.stdin, output: process.stdout, host: hostIn(io().env), version: modcVersion() });
}
