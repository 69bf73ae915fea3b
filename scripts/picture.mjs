#!/usr/bin/env node
// Draws docs/routes.svg: which tokens each layer of examples/moby.mod computes over the first lines of the passage, by
// the reference, with the weights of examples/moby.safetensors.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setupOrExit } from "./setup.mjs";

setupOrExit({ driver: false });
const { compile, evaluate } = await import("../dist/src/compiler/index.js");
const { matchWeights, readSafetensors, readWeight } = await import("../dist/src/runtime/index.js");

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const example = (name) => readFileSync(join(root, "examples", name));
const COLUMNS = 88;

const { program, graph } = compile(example("moby.mod").toString(), { file: "moby.mod" });
const passage = example("moby-dick.txt");
const start = passage.indexOf("Call me");
const text = passage.subarray(start, start + COLUMNS);
const source = readSafetensors(example("moby.safetensors"));
const matched = matchWeights(program, source);
const weights = new Map();
for (const w of program.weights)
  weights.set(w.path, { shape: w.shape, data: await readWeight(w, matched.get(w), source) });
const { outputs } = evaluate(graph, {
  inputs: new Map([["tokens", { shape: [1, text.length], data: [...text] }]]),
  weights,
});

const layers = [];
for (let i = 0; ; i++) {
  if (!program.weights.some((w) => w.path.startsWith(`layers.${i}.`))) break;
  const index = outputs.get(`layers.${i}.chosen.index`);
  layers.push({
    name: `layer ${i}`,
    chosen: index ? new Set(index.data.slice(0, outputs.get(`layers.${i}.chosen.count`).data[0])) : null,
  });
}
writeFileSync(join(root, "docs", "routes.svg"), draw(layers));
process.stderr.write("docs/routes.svg drawn\n");

function draw(rows) {
  const [cell, left, top] = [9, 76, 34];
  const [width, height] = [left + COLUMNS * cell + 76, top + rows.length * 22 + 30];
  const escape = (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c] ?? c;
  // One column for each byte; a character of several bytes stands in its first.
  const letters = [];
  let column = 0;
  for (const character of text.toString()) {
    if (character.trim() !== "")
      letters.push(
        `<text x="${left + column * cell + cell / 2}" y="${top - 8}" text-anchor="middle">${escape(character)}</text>`,
      );
    column += Buffer.byteLength(character);
  }
  const strips = rows.flatMap(({ name, chosen }, r) => {
    const y = top + r * 22;
    const cells = Array.from({ length: text.length }, (_, t) => {
      const on = chosen === null || chosen.has(t);
      return (
        `<rect x="${left + t * cell + 0.5}" y="${y}" width="${cell - 1}" height="16" ` +
        `fill="${on ? (chosen === null ? "#8fb3d9" : "#1f5fa8") : "#e9edf2"}"/>`
      );
    });
    return [
      `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${name}</text>`,
      ...cells,
      `<text x="${left + COLUMNS * cell + 8}" ` +
        `y="${y + 12}">${chosen === null ? "all" : `${chosen.size} of ${text.length}`}</text>`,
    ];
  });
  const legend =
    `<text x="${left}" y="${height - 8}">each column is a token: computed by a dense layer (light), chosen by a ` +
    "Mixture-of-Depths layer (dark), skipped (grey)</text>";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, monospace"
  font-size="11" fill="#333">
<title>Which tokens each layer of examples/moby.mod computes</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${[...letters, ...strips, legend].join("\n")}
</svg>
`;
}
