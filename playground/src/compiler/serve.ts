// The compiler's worker: handlers of the page's calls about a source.
import type { CompilerCalls } from "../worker/protocol.js";
import { serve, type Server, type WorkerScope } from "../worker/serve.js";
import { checkedOf } from "./checked.js";
import { formOf } from "./form.js";
import { kernelsOf } from "./kernels.js";
import { ledgerOf } from "./ledger.js";
import { pictureOf } from "./picture.js";
import { stageOf } from "./stages.js";

export const serveCompiler = (scope: WorkerScope): Server =>
  serve<CompilerCalls>(scope, {
    check: (source) => checkedOf(source),
    form: (source) => formOf(source),
    picture: async (source) => {
      const { layOut } = await import("./layout.js");
      const parts = pictureOf(source);
      return parts && layOut(parts);
    },
    stage: ({ stage, ...source }) => stageOf(source, stage),
    kernels: (source) => kernelsOf(source),
    ledger: ({ extents, ...source }) => ledgerOf(source, extents),
    lsp: async (message) => (await import("./language-server.js")).hear(message),
  });
