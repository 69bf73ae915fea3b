// Names that lead to blocks which parameters are given: in the same file, in an importing file, or in another model.
import type { Location, WorkspaceEdit } from "vscode-languageserver";
import { afterEach, expect, it } from "vitest";
import { Client } from "./client.js";

const scaled = (name: string): string => `block ${name}() {
  weight s: f32[1] = ones
  forward(x: f32[B, 4]) -> f32[B, 4] { x * s }
}
`;
const WRAPPER = `block W(inner: block) {
  forward(x: f32[B, 4]) -> f32[B, 4] { inner(x) * inner.s }
}
`;
const model = (name: string, given: string): string => `model ${name}() {
  w: W(${given}())
  forward(x: f32[B, 4]) -> f32[B, 4] { w(x) }
}
`;

let client: Client;
afterEach(async () => expect(await client.stop()).toBe(0));

const renamed = async (path: string, around: string): Promise<Readonly<Record<string, number>>> => {
  const { changes } = await client.at<WorkspaceEdit>("textDocument/rename", path, around, { newName: "gain" });
  return Object.fromEntries(Object.entries(changes!).map(([uri, edits]) => [client.name(uri), edits.length]));
};
const lines = async (path: string, around: string): Promise<readonly number[]> =>
  (await client.at<Location[]>("textDocument/definition", path, around)).map((l) => l.range.start.line + 1);

it("of the file in which the parameter is", async () => {
  client = await Client.start();
  await client.open("m.mod", scaled("A") + WRAPPER + model("M", "A"));
  expect(await lines("m.mod", "inner.|s")).toEqual([2]);
  expect(await renamed("m.mod", "weight |s")).toEqual({ "m.mod": 3 });
  // Where the name is written it is completed from the text with that word.
  await client.edit("m.mod", "* inner.s", "* inner.");
  const { items } = await client.at<{ items: { label: string }[] }>("textDocument/completion", "m.mod", "* inner.|");
  expect(items.map((i) => i.label)).toEqual(["s", "forward"]);
});

it("of a file that imports the parameter's", async () => {
  client = await Client.start({ files: { "w.mod": WRAPPER } });
  await client.open("m.mod", `import { W } from "./w.mod"\n${scaled("A")}${model("M", "A")}`);
  expect(await renamed("m.mod", "weight |s")).toEqual({ "m.mod": 2, "w.mod": 1 });
});

it("of a model that is checked later: what the first told is not taken for all", async () => {
  client = await Client.start();
  await client.open("m.mod", scaled("A") + scaled("C") + WRAPPER + model("M", "A") + model("N", "C"));
  expect(await lines("m.mod", "inner.|s")).toEqual([2]);
  expect(await renamed("m.mod", "block C() {\n  weight |s")).toEqual({ "m.mod": 5 });
  expect(await lines("m.mod", "inner.|s")).toEqual([2, 6]);
});
