// The language server that comes with the extension: `modc lsp` without the rest of modc.
import { serveClient } from "../../../src/tools/cli/lsp/connection.js";
import { hostIn } from "../../../src/tools/cli/lsp/host.js";

declare const MODC_VERSION: string;

const { stdin: input, stdout: output, env } = process;
process.exitCode = await serveClient({ input, output, host: hostIn(env), version: MODC_VERSION });
