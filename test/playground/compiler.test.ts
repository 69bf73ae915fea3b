// What the playground's compiler tells the page, of examples and of programs nobody has seen.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { CompletionList, Hover } from "vscode-languageserver";
import { describe, expect, it } from "vitest";
import { checkedOf } from "../../playground/src/compiler/checked.js";
import { diffLines } from "../../playground/src/compiler/diff.js";
import { hear } from "../../playground/src/compiler/language-server.js";
import { kernelsOf } from "../../playground/src/compiler/kernels.js";
import { ledgerOf } from "../../playground/src/compiler/ledger.js";
import { layOut } from "../../playground/src/compiler/layout.js";
import { pictureOf, type Parts } from "../../playground/src/compiler/picture.js";
import { stageOf } from "../../playground/src/compiler/stages.js";
import { compile } from "../../src/compiler/compile.js";
import { printGraph } from "../../src/compiler/ir/print.js";
import { stages } from "../../src/compiler/passes/index.js";
import { root } from "../tools/cli/spawn.js";
import { SMALL } from "../../playground/src/small.js";

const textOf = (name: string): string => readFileSync(join(root, "examples", name), "utf8");
const examples = readdirSync(join(root, "examples")).filter((f) => f.endsWith(".mod"));
const sourceOf = (name: string) => ({
  text: textOf(name),
  set: SMALL[name.slice(0, -4)] ?? {},
  phase: "infer" as const,
});

describe("a comparison of lines", () => {
  const line = fc.constantFrom("a", "b", "c", "%1 = d", "%2 = d");
  const lines = fc.array(line, { maxLength: 30 });

  it("gives back both texts, and as few changes as a table of all common parts", () => {
    fc.assert(
      fc.property(lines, lines, (a, b) => {
        const found = diffLines(a, b, (l) => l, 1000)!;
        expect(found.filter((l) => l.change !== "added").map((l) => l.text)).toEqual(a);
        expect(found.filter((l) => l.change !== "removed").map((l) => l.text)).toEqual(b);
        expect(found.filter((l) => l.change === "same")).toHaveLength(longestCommon(a, b));
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it("gives up where more lines differ than it may look at", () => {
    expect(diffLines(["a", "b", "c"], ["d", "e", "f"], (l) => l, 5)).toBeNull();
    expect(diffLines(["a", "b", "c"], ["d", "e", "f"], (l) => l, 6)).toHaveLength(6);
  });
});

function longestCommon(a: readonly string[], b: readonly string[]): number {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++)
      table[i]![j] = a[i - 1] === b[j - 1] ? table[i - 1]![j - 1]! + 1 : Math.max(table[i - 1]![j]!, table[i]![j - 1]!);
  return table[a.length]![b.length]!;
}

describe.each(examples)("%s", (name) => {
  const source = sourceOf(name);

  it("compiles at the sizes that fit a page", () => {
    const { problems, weights, model } = checkedOf(source);
    expect(problems.filter((p) => p.severity === "error")).toEqual([]);
    expect(weights).toBeLessThan(20e6);
    expect(Object.keys(source.set).filter((key) => !model!.parameters.some((p) => p.name === key))).toEqual([]);
  });

  it("has a picture in which data flow from every input to every result, and every route has a way round", () => {
    const parts = pictureOf(source)!;
    const picture = layOut(parts);
    expect(
      picture.parts.every((p) => p.width > 0 && p.x >= 0 && p.x <= picture.width && p.y >= 0 && p.y <= picture.height),
    ).toBe(true);
    for (const input of parts.parts.filter((p) => p.kind === "input"))
      expect(reachedFrom(parts, input.id)).toContain("output:output");
    const puts = parts.parts.filter((p) => p.kind === "put");
    expect(puts.every((put) => parts.wires.some((w) => w.to === put.id && w.kind === "skip"))).toBe(true);
    // Llama chooses nothing, the mixture entries of an axis only.
    expect(parts.parts.some((p) => p.kind === "route")).toBe(!["llama.mod", "moe.mod"].includes(name));
  });

  it("has the graphs of the compiler after each pass, kernels and costs", { tags: "long" }, () => {
    const { graph, program, sources } = compile(source.text, { ...source, file: "model.mod" });
    const last = stageOf(source, "")!;
    expect(last.stage).toBe(stages.at(-1));
    const text = last.lines.flatMap((l) => (l.change === "removed" ? [] : [l.text.replace(/ {2}\/\/.*/, "")]));
    expect(text).toEqual(
      printGraph(graph!, { place: null })
        .trimEnd()
        .split("\n")
        .map((l) => l.replace(/ {2}\/\/.*/, "")),
    );
    expect(sources.length).toBeGreaterThan(0);
    for (const stage of stages.slice(1)) {
      const { lines, fired, compared } = stageOf(source, stage)!;
      expect(compared).toBe(true);
      // If a rule fired, the pass changed a line.
      if (fired.length > 0) expect(lines.some((l) => l.change !== "same")).toBe(true);
    }
    expect(kernelsOf(source)!.map((k) => k.wgsl)).toEqual(program!.kernels.map((k) => k.wgsl));
    const table = ledgerOf(source)!;
    expect(table.total.executed.flops).toBeGreaterThan(0);
    expect(table.total.executed.flops).toBeLessThanOrEqual(table.total.dense.flops);
  });
});

function reachedFrom({ wires }: Parts, start: string): readonly string[] {
  const seen = new Set([start]);
  for (const id of seen) for (const wire of wires) if (wire.from === id) seen.add(wire.to);
  return [...seen];
}

describe("faults of a source", () => {
  it("stand at their places, with code and hint", () => {
    const text = textOf("golden.mod");
    const { problems, weights } = checkedOf({ text, set: {}, phase: "generate" });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ severity: "error", code: "non-causal-choice" });
    expect(text.slice(problems[0]!.at!.from, problems[0]!.at!.to)).toBe("top(score, 2)");
    expect(problems[0]!.more.join()).toContain("above(likely");
    expect(weights).toBeNull();
  });

  it("have no place in the source where they lie in a parameter that was set", () => {
    const { problems } = checkedOf({ text: textOf("moby.mod"), set: { dim: "wide" }, phase: "infer" });
    expect(problems).toMatchObject([{ severity: "error", at: null }]);
    // A link may give any name.
    const set = JSON.parse(`{"__proto__": "1"}`) as Record<string, string>;
    expect(checkedOf({ text: textOf("moby.mod"), set, phase: "infer" }).problems).toMatchObject([
      { severity: "error", at: null },
    ]);
  });
});

describe("help while one types", () => {
  const moby = textOf("moby.mod");
  const uri = "playground:///model.mod";
  let version = 0;
  /** What the language server of the worker answers about the place of `|` in a text. */
  const ask = (method: string, marked: string): unknown => {
    const at = marked.indexOf("|");
    const text = marked.slice(0, at) + marked.slice(at + 1);
    const textDocument = { uri, languageId: "modc", version: ++version, text };
    hear({ method: "textDocument/didOpen", params: { textDocument } });
    const lines = marked.slice(0, at).split("\n");
    const position = { line: lines.length - 1, character: lines.at(-1)!.length };
    return hear({ method, params: { textDocument: { uri }, position } });
  };
  // Marked boundary: what the protocol says that a server answers.
  const complete = (marked: string) => ask("textDocument/completion", marked) as CompletionList | null;
  const labelsAt = (marked: string): readonly string[] => complete(marked)?.items.map((i) => i.label) ?? [];

  it("offers what can be seen at a place: locals, members, parameters, blocks of the library, functions", () => {
    const labels = labelsAt(moby.replace("norm(x) @", "| norm(x) @"));
    for (const name of [
      "x",
      "tokens",
      "embed",
      "layers",
      "norm",
      "vocab",
      "capacity",
      "MoD",
      "softmax",
      "Moby",
      "GeluMLP",
    ])
      expect(labels, name).toContain(name);
    expect(labels).not.toContain("targets"); // of the other function
  });

  it(
    "offers members behind a dot, parameters within a call, the library's names in an import, and nothing in a " +
      "comment or string",
    () => {
      expect(labelsAt(moby.replace("embed.table", "embed.|"))).toEqual(["table", "forward"]);
      expect(labelsAt(moby.replace("Layer(dim, heads)", "Layer(dim, |heads)"))).toContain("kv_heads:");
      expect(labelsAt(moby.replace("import { Embedding", "import { |Embedding"))).toContain("SwiGLU");
      expect(labelsAt(moby.replace("/// A byte", "/// A |byte"))).toEqual([]);
      expect(labelsAt(moby.replace('"std"', '"s|td"'))).toEqual(["std"]);
    },
  );

  it("imports what it completes of the library, into the line that is there or into a new one", () => {
    const found = (marked: string, label: string) =>
      complete(marked)!.items.find((i) => i.label === label)!.additionalTextEdits;
    const having = `import { Linear } from "std"\nmodel M() {\n  mlp: SwiG|`;
    const at = (character: number) => ({ start: { line: 0, character }, end: { line: 0, character } });
    expect(found(having, "SwiGLU")).toEqual([{ range: at(15), newText: ", SwiGLU" }]);
    const without = `model M() {\n  mlp: SwiG|`;
    expect(found(without, "SwiGLU")).toEqual([{ range: at(0), newText: 'import { SwiGLU } from "std"\n\n' }]);
    expect(found(having, "Linear")).toBeUndefined();
  });

  it("goes on offering members while the block that is written cannot be read", () => {
    expect(labelsAt(moby.replace("x = embed(tokens)", "y = (embed(tokens) + |"))).toContain("layers");
  });

  it("says what a name means: blocks of the library, functions, members, locals", () => {
    const at = (word: string, text = moby): string | null => {
      const place = text.lastIndexOf(word) + 1;
      const found = ask("textDocument/hover", `${text.slice(0, place)}|${text.slice(place)}`) as Hover | null;
      return found && (found.contents as { readonly value: string }).value;
    };
    expect(at("MoD")).toMatch(/^```modc\nblock MoD\(inner: block[\s\S]*2404\.02258[\s\S]*- `capacity`/);
    expect(at("cross_entropy")).toContain("cross_entropy(");
    expect(at("table")).toContain("weight table: f32[vocab, dim]");
    expect(at("Moby")).toContain("byte-level decoder");
    expect(at("byte-level")).toBeNull();
    expect(at("x = layer(x)")).toContain("`f32[B, T, 128]`");
  });
});
