// Answers of the server about the examples, as golden texts: over JSON-RPC, by a client that is not ours.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type {
  DocumentSymbol,
  FoldingRange,
  InlayHint,
  Position,
  SemanticTokens,
  TextEdit,
} from "vscode-languageserver";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "./client.js";

const EXAMPLES = ["golden", "moby", "moe", "mor"] as const;
const WHOLE = { start: { line: 0, character: 0 }, end: { line: 9999, character: 0 } };

let client: Client;
const texts = new Map<string, string>();
beforeAll(async () => {
  client = await Client.start();
  for (const name of EXAMPLES) {
    texts.set(name, readFileSync(join("examples", `${name}.mod`), "utf8"));
    await client.open(`${name}.mod`, texts.get(name)!);
  }
});
afterAll(async () => expect(await client.stop()).toBe(0));

/** The text with something behind each of some places. */
function annotated(text: string, notes: readonly { readonly at: Position; readonly label: string }[]): string {
  const lines = text.split("\n");
  for (const { at, label } of [...notes].sort((a, b) => b.at.line - a.at.line || b.at.character - a.at.character)) {
    const line = lines[at.line]!;
    lines[at.line] = `${line.slice(0, at.character)}«${label}»${line.slice(at.character)}`;
  }
  return lines.join("\n");
}

describe.each(EXAMPLES)("%s.mod", (name) => {
  const file = `${name}.mod`;

  it("has no diagnostics, and is formatted", async () => {
    expect(await client.diagnostics(file)).toEqual([]);
    expect(await client.about<TextEdit[]>("textDocument/formatting", file)).toEqual([]);
  });

  it("shapes, causality and costs stand beside the code", async () => {
    const hints = await client.about<InlayHint[]>("textDocument/inlayHint", file, { range: WHOLE });
    const notes = hints.map(({ position, label }) => ({ at: position, label: String(label) }));
    await expect(annotated(texts.get(name)!, notes)).toMatchFileSnapshot(`golden/${name}.hints.txt`);
  });

  it("symbols, folds and tokens", async () => {
    const symbols = await client.about<DocumentSymbol[]>("textDocument/documentSymbol", file);
    const tree = (all: readonly DocumentSymbol[], depth = 0): readonly string[] =>
      all.flatMap(({ name: own, kind, detail = "", range: { start, end }, children = [] }) => [
        `${"  ".repeat(depth)}${own} ${kind} ${start.line + 1}-${end.line + 1} ${detail}`.trimEnd(),
        ...tree(children, depth + 1),
      ]);
    const folds = await client.about<FoldingRange[]>("textDocument/foldingRange", file);
    const { data } = await client.about<SemanticTokens>("textDocument/semanticTokens/full", file);
    const { tokenTypes, tokenModifiers } = client.initialized.capabilities.semanticTokensProvider!.legend;
    const words: string[] = [];
    const lines = texts.get(name)!.split("\n");
    let [line, character] = [0, 0];
    for (let i = 0; i < data.length; i += 5) {
      const [down, right, length, type, bits] = data.slice(i, i + 5) as [number, number, number, number, number];
      character = down === 0 ? character + right : right;
      line += down;
      if (tokenTypes[type] === "comment") continue;
      const modifiers = tokenModifiers.filter((_, bit) => bits & (1 << bit));
      words.push(
        `${line + 1} ${lines[line]!.slice(character, character + length)} ${tokenTypes[type]} ${modifiers.join(" ")}`.trimEnd(),
      );
    }
    const text = [
      ...tree(symbols),
      "",
      ...folds.map((f) => `${f.startLine + 1}-${f.endLine + 1} ${f.kind ?? ""}`.trimEnd()),
      "",
      ...(name === "golden" ? words : []),
    ].join("\n");
    await expect(text).toMatchFileSnapshot(`golden/${name}.structure.txt`);
  });
});

describe("costs", () => {
  it("are those of the ledger: the parts of a model's function sum up to it", async () => {
    const hints = await client.about<InlayHint[]>("textDocument/inlayHint", "moby.mod", { range: WHOLE });
    const shares = hints
      .flatMap((h) => /: ([\d.]+)% of the model/.exec(String(h.tooltip ?? ""))?.[1] ?? [])
      .map(Number);
    // Looking up the embedding and the last norm are what is left.
    expect(shares.reduce((a, b) => a + b)).toBeGreaterThan(99.9);
  });

  it("are told at the sizes of the settings, or not at all", async () => {
    const labels = async (): Promise<readonly string[]> =>
      (await client.about<InlayHint[]>("textDocument/inlayHint", "moby.mod", { range: WHOLE })).map((h) =>
        String(h.label),
      );
    const configure = (settings: object): Promise<void> =>
      client.connection.sendNotification("workspace/didChangeConfiguration", { settings });
    await configure({ modc: { length: 64, batch: 2 } });
    expect((await labels()).at(-1)).toBe("8.39 MFLOP, 328 kB");
    await configure({ modc: { inlayHints: { costs: false, shapes: false, causality: false } } });
    expect(await labels()).toEqual([]);
    await configure({
      modc: { inlayHints: { costs: true, shapes: true }, length: null, batch: 1, set: { depth: "2" } },
    });
    expect((await labels()).join()).toContain("169 MFLOP of 304 M");
  });
});

describe("what the extension of VS Code asks", () => {
  it("kernels of a line: those of its calls, and of its own operators", async () => {
    const kernels = await client.at<{ name: string; wgsl: string; steps: number }[]>(
      "modc/kernels",
      "moby.mod",
      "norm(x) @|",
    );
    expect(kernels.length).toBeGreaterThan(0);
    expect(kernels.every((k) => k.wgsl.includes("@compute"))).toBe(true);
    const layers = await client.at<{ name: string; steps: number }[]>("modc/kernels", "moby.mod", "x = |layer(x)");
    expect(layers.length).toBeGreaterThan(kernels.length);
    expect(await client.at("modc/kernels", "moby.mod", "|/// A byte-level")).toEqual([]);
  });

  it("the picture of a model, without scripts", async () => {
    const picture = await client.about<{ title: string; html: string } | null>("modc/picture", "moby.mod");
    expect(picture!.title).toBe("Moby at B=1 T=256");
    expect(picture!.html).toContain("<b>layers.1</b> MoD");
    expect(picture!.html).not.toMatch(/<script|https?:/);
  });
});
