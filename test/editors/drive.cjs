// Runs the bundled extension against the stand-in: prints as JSON what it registered and showed.
"use strict";
const Module = require("node:module");
const path = require("node:path");

const stubPath = path.join(__dirname, "vscode-stub.cjs");
const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => (request === "vscode" ? stubPath : resolve(request, ...rest));

const vscode = require("vscode");
const { seen, events, documents } = vscode.stub;
const folder = process.env.MODC_EXTENSION;
const extension = require(path.join(folder, "extension.js"));

const lines = ["model M() {", "  forward(x: f32[B, 4]) -> f32[B, 4] {", "    y = x * 2.0", "    z", "  }", "}", ""];
const document = {
  uri: vscode.Uri.file(path.join(process.env.MODC_FOLDER, "m.mod")),
  languageId: "modc",
  version: 1,
  isClosed: false,
  getText: () => lines.join("\n"),
};

async function until(holds) {
  for (let i = 0; i < 500; i++) {
    if (holds()) return;
    await new Promise((go) => setTimeout(go, 20));
  }
  throw new Error(`waited in vain: ${JSON.stringify([...seen.errors])}`);
}

async function main() {
  const context = { subscriptions: [], asAbsolutePath: (name) => path.join(folder, name) };
  documents.push(document);
  await extension.activate(context);
  await until(() => seen.diagnostics.some((d) => d.all?.length === 1));
  const [found] = seen.diagnostics.filter((d) => d.all?.length === 1);
  lines[3] = "    y";
  document.version = 2;
  const range = new vscode.Range(3, 4, 3, 5);
  events.emit("change", { document, contentChanges: [{ range, rangeOffset: 0, rangeLength: 1, text: "y" }] });
  await until(() => seen.diagnostics.at(-1).all?.length === 0);
  vscode.window.activeTextEditor = { document, selection: { active: new vscode.Position(2, 8) } };
  await seen.commands.get("modc.showPicture")();
  await seen.commands.get("modc.showKernels")();
  await extension.deactivate();
  process.stdout.write(
    JSON.stringify({
      diagnostic: found.all[0].given[1],
      commands: [...seen.commands.keys()],
      providers: [...new Set(seen.providers)],
      picture: seen.panels[0].title,
      kernels: seen.shown.text.slice(0, 200),
    }),
  );
}
main().catch((fault) => {
  process.stderr.write(`${fault.stack}\n`);
  process.exit(1);
});
