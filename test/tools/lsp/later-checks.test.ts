// What only later checks of a text find, of training and of the causal rule, while someone types.
import { expect, it } from "vitest";
import { carried } from "../../../src/tools/lsp/convert.js";
import { diagnose } from "../../../src/language/diagnostics/diagnostic.js";
import { suggestionOf } from "../../../src/language/diagnostics/diagnostic.js";
import { Client } from "./client.js";

const TRAINED = `model M() {
  forward(x: f32[B, 4]) -> f32[B, 4] {
    if train { loss odd = mean(x @ x) }
    x
  }
  objective(x: f32[B, 4]) { loss fit = mean(forward(x)) }
}
`;

it("it stays at its place until it is found again, and goes once it is mended", async () => {
  const client = await Client.start();
  await client.open("a.mod", TRAINED);
  const found = await client.diagnostics("a.mod");
  expect(found.map((d) => [d.code, d.range.start])).toEqual([["shape-mismatch", { line: 2, character: 33 }]]);
  for (const [from, to] of [
    ["model", "// A model.\nmodel"],
    ["\n    x\n", "\n    x \n"],
  ] as const) {
    await client.edit("a.mod", from, to);
    await client.diagnostics("a.mod");
    await client.about("textDocument/foldingRange", "a.mod");
  }
  for (const { version, diagnostics } of client.published.filter((p) => p.version! > 1))
    expect([version, ...diagnostics.map((d) => d.range.start)]).toEqual([version, { line: 3, character: 33 }]);
  expect(client.published.at(-1)!.version).toBe(3);
  await client.edit("a.mod", "x @ x", "x * x");
  for (; (await client.diagnostics("a.mod")).length > 0;) await client.heard();
  expect(await client.stop()).toBe(0);
});

it("it is carried to where its text stands now, with what it suggests, or let go", () => {
  const text = "block A() {}\nblock B() {}\n";
  const span = { file: "a", start: 19, end: 20 };
  const found = diagnose("unknown-name", { name: "B", suggestion: "C" }, span, [
    { text: "there", span: { file: "a", start: 0, end: 5 } },
    { text: "in general", span: null },
  ]);
  const after = (now: string): readonly (typeof found)[] =>
    carried([found], new Map([["a", text]]), new Map([["a", now]]));
  const [moved] = after(text.replace("A", "Long"));
  expect(moved!.span).toEqual({ file: "a", start: 22, end: 23 });
  expect(moved!.notes.map((n) => n.span?.start ?? null)).toEqual([0, null]);
  expect(suggestionOf(moved!)).toBe("C");
  expect(after(text.replace("B", "Long"))).toEqual([]);
  expect(carried([found], new Map(), new Map([["a", text]]))).toEqual([]);
});
