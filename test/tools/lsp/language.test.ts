// What the server answers about names: over JSON-RPC, by a client that is not ours, in a workspace of two files.
import type {
  CodeAction,
  CompletionList,
  Hover,
  InlayHint,
  Location,
  SignatureHelp,
  TextEdit,
  WorkspaceEdit,
} from "vscode-languageserver";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "./client.js";

const BLOCKS = `import { Linear } from "std"

/// Scores tokens.
block Scorer(
  /// Width of the stream.
  dim: int,
) {
  proj: Linear(dim, 1, bias: false)
  weight scale: f32[1] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T] { sum(proj(x) * scale, axis: -1) }
  twice(x: f32[B, T, dim]) -> (first: f32[B, T], second: f32[B, T]) { (forward(x), 2.0 * forward(x)) }
}

const WIDTH = 16
`;

const MAIN = `import { Scorer, WIDTH } from "./lib/blocks.mod"
import { Layer } from "std"

/// Routes tokens.
block Routed(inner: block, dim: int, capacity: ratio = 50%) {
  scorer: Scorer(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = scorer(x)
    chosen = top(score, ceil(capacity * T))
    y      = take(x, chosen)
    y      = inner(y) * take(score, chosen)[..., None]
    put(x, chosen, y)
  }
}

model Main(dim: int = WIDTH, depth: int = 2) {
  layers: [for i in 0..depth: Routed(Layer(dim, 2), dim)]

  forward(x: f32[B, T <= 32, dim]) -> f32[B, T, dim] {
    for layer in layers { x = layer(x) }
    x
  }
}
`;

let client: Client;
beforeAll(async () => {
  client = await Client.start({ files: { "lib/blocks.mod": BLOCKS, "main.mod": MAIN } });
  await client.open("main.mod", MAIN);
});
afterAll(async () => expect(await client.stop()).toBe(0));

const spots = (found: readonly Location[]): readonly string[] =>
  found.map(
    ({ uri, range: { start, end } }) => `${client.name(uri)}:${start.line + 1}:${start.character}-${end.character}`,
  );

const hover = async (around: string): Promise<string> =>
  ((await client.at<Hover>("textDocument/hover", "main.mod", around)).contents as { readonly value: string }).value;

describe("hover tells", () => {
  it("the shape of a local, its axes, bounds and rows", async () => {
    expect(await hover("|y      = take")).toBe(
      "```modc\ny = take(x, chosen)\n```\n\n`f32[B, K|K2, 16]`\n\n" +
        "- B: the batch\n- K: the best ceil(1/2*T) tokens of T, at most 16\n" +
        "- T: tokens of each sequence, at most 32\n" +
        "- K2: the best ceil(1/2*T) tokens of T, at most 16",
    );
  });
  it("a block with its documentation and that of its parameters", async () => {
    expect(await hover("scorer: Sco|rer")).toBe(
      "```modc\nblock Scorer(dim: int)\n```\n\nScores tokens.\n\n- `dim`: Width of the stream.",
    );
  });
  it("the value of a parameter, a route, a loop's variable, a built-in function", async () => {
    expect(await hover("depth|: int")).toContain("`2`");
    expect(await hover("capacit|y: ratio")).toContain("`50%`");
    expect(await hover("chosen| = top")).toContain("`route K of T | route K2 of T`");
    expect(await hover("for lay|er in")).toContain("`Routed`");
    expect(await hover("= to|p(score")).toContain("top(");
  });
});

describe("definition", () => {
  const definition = async (around: string): Promise<readonly string[]> =>
    spots(await client.at<Location[]>("textDocument/definition", "main.mod", around));
  it("of locals, parameters and members", async () => {
    expect(await definition("top(sco|re")).toEqual(["main.mod:9:4-9"]);
    expect(await definition("ceil(capa|city")).toEqual(["main.mod:5:37-45"]);
    expect(await definition("= sco|rer(x)")).toEqual(["main.mod:6:2-8"]);
    expect(await definition("ceil(capacity * |T")).toEqual(["main.mod:8:20-21"]);
  });
  it("in other files, of imports and of their path", async () => {
    expect(await definition("scorer: Sco|rer")).toEqual(["lib/blocks.mod:4:6-12"]);
    expect(await definition("int = WI|DTH")).toEqual(["lib/blocks.mod:15:6-11"]);
    expect(await definition('"./lib/bl|ocks.mod"')).toEqual(["lib/blocks.mod:1:0-0"]);
  });
  it("in the library, in a file that can be opened, and there tells what it is", async () => {
    expect(await definition("Lay|er(dim, 2)")).toEqual(["std/layer.mod:7:6-11"]);
  });
});

describe("references and renaming", () => {
  it("finds every mention, across files", async () => {
    const found = await client.at<Location[]>("textDocument/references", "main.mod", "scorer: Sco|rer", {
      context: { includeDeclaration: true },
    });
    expect([...spots(found)].sort()).toEqual(["lib/blocks.mod:4:6-12", "main.mod:1:9-15", "main.mod:6:10-16"]);
  });
  it("renames across files, and named arguments with their parameter", async () => {
    await client.open("lib/blocks.mod", BLOCKS);
    const { changes } = await client.at<WorkspaceEdit>("textDocument/rename", "lib/blocks.mod", "block Sco|rer", {
      newName: "Judge",
    });
    expect(Object.entries(changes!).map(([uri, edits]) => `${client.name(uri)} ${edits.length}`)).toEqual([
      "lib/blocks.mod 1",
      "main.mod 2",
    ]);
    await client.edit("main.mod", "Scorer(dim)\n", "Scorer(dim: dim)\n");
    const edits = await client.at<WorkspaceEdit>("textDocument/rename", "lib/blocks.mod", "dim|: int", {
      newName: "width",
    });
    expect(Object.values(edits.changes!).map((all) => all.length)).toEqual([4, 1]);
    await client.edit("main.mod", "Scorer(dim: dim)\n", "Scorer(dim)\n");
    await client.close("lib/blocks.mod");
  });
  it("refuses what would break the model", async () => {
    const refusal = (around: string, newName: string): Promise<unknown> =>
      client.at("textDocument/rename", "main.mod", around, { newName }).then(
        () => null,
        (e: Error) => e.message,
      );
    expect(await refusal("Lay|er(dim, 2)", "Other")).toBe("the standard library declares `Layer`");
    expect(await refusal("|score  =", "chosen")).toBe("`chosen` is already a name in this scope");
    expect(await refusal("|score  =", "top")).toBe("`top` is a name of the language");
    expect(await refusal("|score  =", "ceil")).toBe("`ceil` is a name of the language");
    expect(await refusal("|score  =", "Layer")).toBe("`Layer` is already a name in a file that uses it");
    expect(await refusal("|score  =", "for")).toBe("`for` is a word of the language");
    expect(await refusal("f32[B, |T, dim]", "t")).toBe("the name of an axis begins with a capital letter");
    expect(await refusal("|forward(x", "call")).toBe("`forward` is a name that the language defines");
  });
});

describe("completion offers", () => {
  const labels = async (from: string, to: string, around: string): Promise<readonly string[]> => {
    await client.edit("main.mod", from, to);
    const found = await client.at<CompletionList | null>("textDocument/completion", "main.mod", around);
    await client.edit("main.mod", to, from);
    return found?.items.map((i) => i.label) ?? [];
  };
  it("members of a block after a dot, those of a route, and of what a parameter is given", async () => {
    expect(await labels("= scorer(x)", "= scorer.", "= scorer.|")).toEqual(["proj", "scale", "forward", "twice"]);
    expect(await labels("take(x, chosen)\n", "take(x, chosen.)\n", "take(x, chosen.|)")).toEqual([
      "mask",
      "index",
      "count",
    ]);
    expect((await labels("= inner(y)", "= inner.", "= inner.|")).slice(0, 4)).toEqual([
      "attn_norm",
      "attn",
      "mlp_norm",
      "attn_out_norm",
    ]);
  });
  it("names in scope, nearest first, and not what is bound later", async () => {
    const found = await labels("    chosen = top", "    z = sc\n    chosen = top", "z = sc|");
    expect(found.slice(0, 6)).toEqual(["score", "x", "B", "T", "scorer", "forward"]);
    expect(found).not.toContain("chosen");
  });
  it("parameters that a call lacks", async () => {
    const found = await labels("Routed(Layer(dim, 2), dim)", "Routed(Layer(dim, 2), )", "Layer(dim, 2), |)");
    expect(found.slice(0, 3)).toEqual(["dim:", "capacity:", "i"]);
  });
  it("names of the library, with their import", async () => {
    await client.edit("main.mod", "Routed(Layer", "Routed(Resid");
    const found = await client.at<CompletionList>("textDocument/completion", "main.mod", "Routed(Resid|");
    expect(found.items.find((i) => i.label === "Residual")).toMatchObject({
      detail: 'imported from "std"',
      additionalTextEdits: [{ newText: ", Residual", range: { start: { line: 1, character: 14 } } }],
    });
    await client.edit("main.mod", "Routed(Resid", "Routed(Layer");
  });
  it("nothing in comments and strings", async () => {
    expect(await labels("/// Routes", "/// Routes", "/// Rou|tes")).toEqual([]);
  });
});

describe("signature help", () => {
  const signature = (around: string): Promise<SignatureHelp | null> =>
    client.at("textDocument/signatureHelp", "main.mod", around);
  it("marks the parameter being written", async () => {
    expect(await signature("Layer(dim, |2)")).toMatchObject({
      signatures: [{ parameters: expect.objectContaining({ length: 11 }) }],
      activeParameter: 1,
    });
    expect(await signature("top(score, |ceil")).toMatchObject({ activeParameter: 1 });
    expect((await signature("scorer(|x)"))?.signatures[0]?.label).toBe("forward(x: f32[B, T, dim]) -> f32[B, T]");
    expect(await signature("|model Main")).toBeNull();
  });
});

describe("inlay hints", () => {
  it("tell shapes of locals behind their names", async () => {
    const range = { start: { line: 0, character: 0 }, end: { line: 99, character: 0 } };
    const found = await client.about<InlayHint[]>("textDocument/inlayHint", "main.mod", { range });
    expect(found.filter((h) => h.kind === 1).map((h) => `${h.position.line + 1}${String(h.label)}`)).toEqual([
      "9: f32[B, T]",
      "10: route K of T | route K2 of T",
      "11: f32[B, K|K2, 16]",
      "12: f32[B, K|K2, 16]",
      "21: Routed",
      "21: f32[B, T, 16]",
    ]);
  });
});

describe("diagnostics", () => {
  it("are those of the text as it is, also of what an open file changes for its importers", async () => {
    expect(await client.diagnostics("main.mod")).toEqual([]);
    await client.open("lib/blocks.mod", BLOCKS);
    await client.edit("lib/blocks.mod", "f32[B, T] { sum", "f32[B, T, 1] { sum");
    expect((await client.diagnostics("lib/blocks.mod")).map((d) => d.code)).toEqual(["wrong-result"]);
    await client.edit("lib/blocks.mod", "f32[B, T, 1] { sum", "f32[B, T] { sum");
    expect(await client.diagnostics("lib/blocks.mod")).toEqual([]);
    await client.close("lib/blocks.mod");
  });

  const mend = async (from: string, to: string, around: string): Promise<readonly [string, string][]> => {
    await client.edit("main.mod", from, to);
    await client.diagnostics("main.mod");
    const { position } = client.place("main.mod", around);
    const actions = await client.about<CodeAction[]>("textDocument/codeAction", "main.mod", {
      range: { start: position, end: position },
      context: { diagnostics: [] },
    });
    await client.edit("main.mod", to, from);
    return actions.map((a) => [
      a.title,
      Object.values(a.edit!.changes!)[0]!
        .map((e: TextEdit) => e.newText)
        .join(),
    ]);
  };
  it("have mends: an import, a suggestion, `take` of the same route, the causal rule", async () => {
    expect(await mend("Scorer(dim)", "Linear(dim, 1)", "Line|ar")).toEqual([['Import Linear from "std"', ", Linear"]]);
    expect(await mend("Scorer(dim)", "MoD(Linear(dim, dim), dim)", "Mo|D")).toEqual([
      ['Import Linear, MoD from "std"', ", Linear, MoD"],
    ]);
    expect(await mend("take(score, chosen)[", "take(scor, chosen)[", "take(sc|or")).toEqual([["Write score", "score"]]);
    expect(await mend("inner(y) * take(score, chosen)[", "y * score[", "y *| score")).toEqual([]);
    expect(await mend("inner(y) * take(score, chosen)[..., None]", "y * x", "y *| x")).toEqual([
      ["Take x by the route chosen", "take(x, chosen)"],
    ]);
  });
});
