// What goes wrong around the server: failing hosts, invalid settings, links out of the folder.
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { PublishDiagnosticsParams } from "vscode-languageserver";
import { requests } from "../../../src/tools/lsp/requests.js";
import { LanguageServer } from "../../../src/tools/lsp/server.js";
import { DEFAULTS, settingsOf } from "../../../src/tools/lsp/context.js";
import { Client } from "./client.js";

const GOOD = "model M() {\n  forward(x: f32[B, 4]) -> f32[B, 4] { x }\n}\n";

it("a fault in a check is told, the text has no diagnostics rather than old ones, and the next text is checked", () => {
  const published: PublishDiagnosticsParams[] = [];
  const faults: unknown[] = [];
  const work: (() => void)[] = [];
  let broken = false;
  const server = new LanguageServer(
    {
      read: () => {
        if (broken) throw new Error("the disk is gone");
        return null;
      },
      refusal: () => null,
      files: () => [],
      libraryUri: () => null,
      libraryFile: () => null,
    },
    {
      publish: (found) => void published.push(found),
      refreshHints: () => undefined,
      watchFiles: () => undefined,
      failed: (fault) => void faults.push(fault),
    },
    { after: (_, next) => (work.push(next), () => void work.splice(0)) },
    "",
    requests,
  );
  const settle = (): number => {
    for (let next = work.shift(); next !== undefined; next = work.shift()) next();
    return published.at(-1)!.diagnostics.length;
  };
  const uri = "file:///m.mod";
  const edit = (version: number, text: string): void =>
    server.edited({ textDocument: { uri, version }, contentChanges: [{ text }] });
  server.initialize({ processId: null, rootUri: null, capabilities: {} });
  server.opened({
    textDocument: { uri, languageId: "modc", version: 1, text: `import { A } from "./a.mod"\n${GOOD}` },
  });
  expect(settle()).toBe(1); // there is no such file
  broken = true;
  edit(2, `import { A } from "./a.mod"\n\n${GOOD}`);
  expect(settle()).toBe(0);
  expect(faults.map(String)).toEqual(["Error: the disk is gone"]);
  edit(3, GOOD.replace("{ x }", "{ y }"));
  expect(settle()).toBe(1);
  expect(faults).toHaveLength(1);
});

it("settings that are none leave those of before", () => {
  for (const sent of [null, undefined, 3, "x", [], { modc: null }, { batch: 0, length: -1, inlayHints: 7 }])
    expect(settingsOf(sent, DEFAULTS)).toEqual(DEFAULTS);
  const set = settingsOf(JSON.parse(`{ "set": { "__proto__": "1", "dim": 4, "x": {} } }`), DEFAULTS).set;
  expect(Object.entries(set)).toEqual([
    ["__proto__", "1"],
    ["dim", "4"],
  ]);
});

it("requests about files that are not there have no answer, unknown ones are refused", async () => {
  const client = await Client.start();
  const nowhere = { textDocument: { uri: client.uri("none.mod") }, position: { line: 9, character: 9 } };
  for (const method of ["hover", "completion", "signatureHelp", "formatting", "prepareRename"])
    expect(await client.connection.sendRequest(`textDocument/${method}`, nowhere)).toBeNull();
  for (const method of ["definition", "documentSymbol", "foldingRange"])
    expect(await client.connection.sendRequest(`textDocument/${method}`, nowhere)).toEqual([]);
  await expect(client.connection.sendRequest("textDocument/noSuchThing", nowhere)).rejects.toThrow("no method");
  expect(await client.stop()).toBe(0);
});

it("reads no file outside of the model's folder, neither by a path nor through a link", async () => {
  const client = await Client.start({ files: { "secret.mod": "block Secret() {}\n", "models/other.mod": "" } });
  symlinkSync(join(client.folder, "secret.mod"), join(client.folder, "models", "link.mod"));
  await client.open(
    "models/m.mod",
    `import { Secret } from "./link.mod"\nimport { Other } from "../secret.mod"\n${GOOD}`,
  );
  expect((await client.diagnostics("models/m.mod")).map((d) => d.code)).toEqual(["import-path", "import-path"]);
  expect(await client.stop()).toBe(0);
});

it("a client that ends without asking first is at fault", async () => {
  const client = await Client.start();
  await client.connection.sendNotification("exit");
  expect(await client.ended).toBe(1);
});
