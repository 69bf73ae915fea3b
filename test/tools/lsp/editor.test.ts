// What an editor shows and changes: hints of several models and files, the parameter being written, edits of a format.
import type {
  CompletionList,
  Hover,
  InlayHint,
  PublishDiagnosticsParams,
  SignatureHelp,
  TextEdit,
} from "vscode-languageserver";
import { expect, it } from "vitest";
import { builtins } from "../../../src/language/check/builtins/index.js";
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

it("signature help of a built-in function marks the label of every parameter, with its type", async () => {
  const client = await Client.start();
  const help = async (call: string): Promise<SignatureHelp> => {
    const text = `model M() {\n  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { y = ${call} }\n}\n`;
    await client.open("m.mod", text);
    const found = await client.at<SignatureHelp>("textDocument/signatureHelp", "m.mod", `${call}|`);
    await client.close("m.mod");
    return found;
  };
  const marked = ({ signatures: [one] }: SignatureHelp, i: number): string => {
    const [from, to] = one!.parameters![i]!.label as [number, number];
    return one!.label.slice(from, to);
  };
  for (const [name, { params }] of builtins) {
    const first = await help(`${name}(`);
    for (const [i, p] of params.entries()) {
      const form = marked(first, i) === "" ? await help(`${name}(${p.name}: `) : first;
      expect(marked(form, i), `${name}: ${p.name}`).toMatch(p.name === "pattern" ? /^"/ : new RegExp(`^${p.name}\\b`));
    }
  }
  const shown = async (call: string): Promise<string> => {
    const found = await help(call);
    return marked(found, found.activeParameter!);
  };
  expect(await shown("earlier(x, ")).toBe("n: int");
  expect(await shown("scan(x, log_decay: ")).toBe("log_decay: f32[B, T, ...]");
  expect(await shown("linear_attention(q, k, v, fresh: f, at: ")).toBe("at: f32[B, G, T, K]");
  expect(await shown("attention(x, x, x, causal: true, mask: ")).toBe("mask: bool[B, H, T, S]");
  expect(await shown("mass(x, x, cap: ")).toBe("cap: float");
  // The form of the call that has the parameter.
  expect(await shown("rope(x, angles: ")).toBe("angles: f32[B, T, d/2]");
  expect(await shown("rope(x, ")).toBe("theta: float");
  expect((await help("max(x, axis: ")).signatures[0]!.label).toContain("keep: false");
  expect(await client.stop()).toBe(0);
});

it("hover and completion know every built-in function and its parameters", async () => {
  const client = await Client.start();
  for (const [name, { params }] of builtins) {
    const call = `${name}(zz`;
    const text = `model M() {\n  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { y = ${call} }\n}\n`;
    await client.open("m.mod", text);
    const { contents } = await client.at<Hover>("textDocument/hover", "m.mod", `y = |${call}`);
    expect((contents as { readonly value: string }).value, name).toContain(`${name}(`);
    const found = await client.at<CompletionList>("textDocument/completion", "m.mod", `${name}(|`);
    const labels = found.items.map((c) => c.label);
    expect(labels, name).toEqual(expect.arrayContaining([name, ...params.map((p) => `${p.name}:`)]));
    await client.close("m.mod");
  }
  expect(await client.stop()).toBe(0);
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
