// What an editor shows and changes: hints of several models and files, the parameter being written, edits of a format.
import type { InlayHint, PublishDiagnosticsParams, TextEdit } from "vscode-languageserver";
import { expect, it } from "vitest";
import { signatureHelp } from "../../../src/tools/lsp/convert.js";
import { requests } from "../../../src/tools/lsp/requests.js";
import { LanguageServer } from "../../../src/tools/lsp/server.js";
import { Client } from "./client.js";

const WHOLE = { start: { line: 0, character: 0 }, end: { line: 999, character: 0 } };
const PRODUCT = "model M() {\n  weight w: f32[4, 4] = ones\n  forward(x: f32[B, 4]) -> f32[B, 4] { x @ w }\n}\n";

const generator = (name: string, more: string): string => `model ${name}() {
  embed: Embedding(16, 8)
  out: Linear(8, 16)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 16] {
    x = embed(tokens)
    out(x${more})
  }
}
`;

it("a model that follows the causal rule is told so, whatever is beside it in the file", async () => {
  const client = await Client.start();
  const text =
    'import { Embedding, Linear } from "std"\n' +
    generator("Causal", "") +
    generator("Other", " + mean(x, axis: 1, keep: true)");
  await client.open("m.mod", text);
  await client.diagnostics("m.mod");
  const hints = await client.about<InlayHint[]>("textDocument/inlayHint", "m.mod", { range: WHOLE });
  expect(hints.map((h) => h.label).filter((l) => String(l).endsWith("causal"))).toEqual(["causal", "not causal"]);
  expect(await client.stop()).toBe(0);
});

it("the parameter being written is marked, not the same letters elsewhere", () => {
  const parameters = ["x", "axis"].map((name) => ({ name, label: name, doc: null, given: false }));
  const label = "softmax(x: float[...], max: axisless, axis: -1) -> the type of x";
  const { signatures } = signatureHelp({ label, doc: null, parameters, active: 0 });
  expect(signatures[0]!.parameters!.map((p) => p.label)).toEqual([
    [8, 9],
    [38, 42],
  ]);
});

it("formatting takes every `\\r`", async () => {
  const client = await Client.start();
  await client.open("m.mod", PRODUCT.replaceAll("\n", "\r\n"));
  expect(await client.about<TextEdit[]>("textDocument/formatting", "m.mod")).toEqual([
    { range: { start: { line: 0, character: 0 }, end: { line: 4, character: 0 } }, newText: PRODUCT },
  ]);
  expect(await client.stop()).toBe(0);
});

it("costs of several files that were asked for together all come", () => {
  const published: PublishDiagnosticsParams[] = [];
  const work = new Set<() => void>();
  const server = new LanguageServer(
    { read: () => null, refusal: () => null, files: () => [], libraryUri: () => null, libraryFile: () => null },
    {
      publish: (found) => void published.push(found),
      refreshHints: () => undefined,
      watchFiles: () => undefined,
      failed: (fault) => expect.fail(String(fault)),
    },
    {
      after: (_, next) => {
        work.add(next);
        return () => void work.delete(next);
      },
    },
    "",
    requests,
  );
  const settle = (): void => {
    for (const next of work) {
      work.delete(next);
      next();
    }
  };
  server.initialize({
    processId: null,
    rootUri: null,
    capabilities: { workspace: { inlayHint: { refreshSupport: true } } },
  });
  const uris = ["file:///a.mod", "file:///b.mod"];
  for (const uri of uris) server.opened({ textDocument: { uri, languageId: "modc", version: 1, text: PRODUCT } });
  settle();
  const hints = (): readonly number[] =>
    uris.map(
      (uri) =>
        (server.answer("textDocument/inlayHint", { textDocument: { uri }, range: WHOLE }) as InlayHint[]).filter((h) =>
          String(h.label).includes("FLOP"),
        ).length,
    );
  expect(hints()).toEqual([0, 0]);
  settle();
  expect(hints()).toEqual([1, 1]);
});
