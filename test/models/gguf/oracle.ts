// `node --import tsx test/models/gguf/oracle.ts <folder>` asks llama.cpp, through the package node-llama-cpp in
// <folder>/node_modules, for the tokens of a page of odd text under each vocabulary, and writes oracle.json.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL, fileURLToPath } from "node:url";
import { writeGguf } from "./python.js";
import { PAGE, VOCABULARIES, type Key } from "./vocabularies.js";

/** The used part of the package's interface. */
interface Package {
  readonly getLlama: (options: object) => Promise<{
    readonly llamaCppRelease: { readonly release: string };
    readonly loadModel: (options: object) => Promise<{
      readonly tokenize: (text: string, special: boolean) => readonly number[];
      readonly detokenize: (tokens: readonly number[], special: boolean) => string;
    }>;
  }>;
}

/** Keys without which no file is loaded, not even for its vocabulary. */
const NEEDED: readonly Key[] = [
  ["general.architecture", "str", "llama"],
  ["llama.context_length", "u32", 64],
  ["llama.embedding_length", "u32", 64],
  ["llama.block_count", "u32", 1],
  ["llama.feed_forward_length", "u32", 64],
  ["llama.attention.head_count", "u32", 4],
  ["llama.attention.layer_norm_rms_epsilon", "f32", 1e-5],
];

const folder = resolve(process.argv[2] ?? ".");
const entry = createRequire(join(folder, "package.json")).resolve("node-llama-cpp");
const { getLlama } = (await import(pathToFileURL(entry).href)) as Package; // its own form
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 1 });
const scratch = mkdtempSync(join(tmpdir(), "modc-gguf-oracle-"));
const answers: Record<string, readonly (readonly number[])[]> = {};
for (const [name, keys] of VOCABULARIES) {
  const output = join(scratch, `${Object.keys(answers).length}.gguf`);
  await writeGguf([{ output, keys: [...NEEDED, ...keys()] }]);
  const model = await llama.loadModel({ modelPath: output, vocabOnly: true });
  answers[name] = PAGE.map((line) => [...model.tokenize(line, true)]);
}
rmSync(scratch, { recursive: true });
const lines = Object.entries(answers).map(
  ([name, page]) => `  ${JSON.stringify(name)}: [\n${page.map((ids) => `    ${JSON.stringify(ids)}`).join(",\n")}\n  ]`,
);
writeFileSync(
  fileURLToPath(new URL("oracle.json", import.meta.url)),
  `{\n  "llama.cpp": ${JSON.stringify(llama.llamaCppRelease.release)},\n${lines.join(",\n")}\n}\n`,
);
process.exit(0); // its threads would keep the process
