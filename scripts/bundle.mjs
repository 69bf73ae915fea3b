// Writes src/ground/bundled.ts: the runtime of built packages, and the script of a server's page, as minified text, so
// that `modc build` and `modc serve` need no bundler.
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What Node alone loads. */
const NODE_PART = "./node.js";
const IMPORT = `import(${JSON.stringify(NODE_PART)})`;
/** Not a literal: a page's bundler then ignores the import, and with it the modules of Node. */
const unseenImport = (file) => `import(/* @vite-ignore */ /* webpackIgnore: true */ [${JSON.stringify(file)}][0])`;
/** The part that packs weights in less than words, which packages of f32 weights do without. */
const PACKERS = /^packers-.*\.js$/;
/** The part for several callers at once. */
const ENGINE = "engine.js";

/**
 * Code that a package never calls, and the names that other modules import from it. A package opens its own weights, in
 * shards, each a whole tensor: `load` gets no address, response or file, and starts no weights from the seed. A package
 * offers no profile, reads no states back, asks for no matrix units, and is compiled without textures.
 */
const LEFT_OUT = {
  "src/ground/base/stored-part": ["storedKey"],
  "src/runtime/weights/fetched": ["fetchWeights", "openResponse"],
  "src/runtime/weights/formats/safetensors": ["readSafetensors"],
  "src/runtime/weights/gguf/weights": ["readGguf"],
  "src/runtime/weights/match": ["matchWeights", "readWeight"],
  "src/runtime/weights/matched": ["MatchedSource"],
  "src/runtime/weights/init": ["initialValues"],
  "src/generation/engine/lazy-weights": ["LazyWeights"],
  "src/generation/generate/taken": ["takenIn"],
  "src/runtime/device/matrices": ["matricesOf"],
  "src/runtime/steps/read-states": ["readStates"],
  "src/runtime/device/held-textures": ["createTexture", "textureBytes", "writeTexture"],
  "src/runtime/profile/profile": ["mainStep", "profileSteps"],
  "src/runtime/profile/states": ["keepingStates"],
};
/**
 * Calls that have no effect in a package. As a rule, its pages run on hardware, which compiles at once. Its programs
 * have the hash in its manifest, which also covers their version, and their memory was predicted when they were built.
 * Its weights are open before they are loaded, and its target need not list the features of WGSL.
 */
const IDLE = {
  "src/runtime/run/compile-ahead": ["compileAhead"],
  "src/runtime/run/prediction": ["expectBytes", "growthMessage"],
  "src/runtime/program/expect": ["expectProgram"],
  "src/runtime/weights/open-input": ["openInput"],
  "src/runtime/run/weights-expected": ["expectWeights"],
  "src/runtime/device/held-textures": [
    "languageFeatures",
    "textureTarget",
    "texturesIn",
    "textureEntry",
    "textureFault",
    "packsRows",
    "leavePacking",
    "forgetPacked",
  ],
};
const nodeApart = {
  name: "node-apart",
  setup(build) {
    build.onResolve({ filter: /-node\.js$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: NODE_PART, external: true } : null,
    );
    // A module that is only imported dynamically gets no file: the import never runs, so it names a file that exists.
    build.onResolve({ filter: /^\..*\.js$/ }, ({ path, kind, resolveDir }) => {
      const file = relative(root, join(resolveDir, path)).replaceAll("\\", "/").slice(0, -".js".length);
      if (!Object.hasOwn(LEFT_OUT, file) && !Object.hasOwn(IDLE, file)) return null;
      return kind === "dynamic-import" ? { path: NODE_PART, external: true } : { path: file, namespace: "left-out" };
    });
    build.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: [
        ...(LEFT_OUT[path] ?? []).map((name) => `export const ${name} = null;\n`),
        ...(IDLE[path]
          ? [`const idle = () => {};\nexport { ${IDLE[path].map((n) => `idle as ${n}`).join(", ")} };\n`]
          : []),
      ].join(""),
      loader: "js",
    }));
    build.onResolve({ filter: /^node-part$/ }, () => ({ path: "node-part", namespace: "node-part" }));
    build.onResolve({ filter: /^page(?:-tokenizer)?$/ }, ({ path }) => ({ path, namespace: "page" }));
    build.onLoad({ filter: /.*/, namespace: "page" }, ({ path }) => ({
      contents:
        'import { start } from "./src/generation/packaged/page.js";\n' +
        (path === "page"
          ? "start(null);\n"
          : 'import * as tokenizer from "./src/generation/packaged/tokenizer.js";\nstart(tokenizer);\n'),
      resolveDir: root,
      loader: "js",
    }));
    build.onLoad({ filter: /.*/, namespace: "node-part" }, () => ({
      contents:
        `export { openNodeAdapter } from "./src/generation/packaged/adapter-node.js";\nexport { readBytes } from ` +
        `"./src/generation/packaged/files-node.js";\nexport { startThread, threadPort } from ` +
        `"./src/generation/packaged/worker-node.js";\n`,
      resolveDir: root,
      loader: "js",
    }));
  },
};

/** Keeps the names of classes, which Node prints with uncaught errors and in stacks; other names are minified. */
const namedClasses = {
  name: "named-classes",
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/, namespace: "file" }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll(
        /^((?:export )?(?:abstract )?class (\w+)(?:<[^>]*>)?(?: (?:extends|implements) [^{]+)? \{)$/gm,
        '$1 static name = "$2";',
      ),
      loader: "ts",
    }));
  },
};

const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  lineLimit: 200, // Node prints the line in which an uncaught error was thrown
  format: "esm",
  platform: "neutral",
  target: "es2022",
  outdir: "runtime",
  legalComments: "none",
  charset: "utf8",
  write: false,
  logLevel: "error",
};

/** The files of the runtime by name; the same from the same sources. */
const runtime = {
  ...shared,
  entryPoints: [
    { in: "src/generation/packaged/index.ts", out: "index" },
    { in: "node-part", out: "node" },
    { in: "src/generation/packaged/engine.ts", out: "engine" },
  ],
  splitting: true,
  external: ["node:*", "webgpu"],
  chunkNames: "[name]-[hash]",
  plugins: [nodeApart, namedClasses],
};

/** What the licences of the libraries in the tokenizer's part ask for. */
const NOTICE = `/*
@huggingface/tokenizers: Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0

@huggingface/jinja:
${readFileSync(join(root, "node_modules", "@huggingface", "jinja", "LICENSE"), "utf8").trim()}
*/`;

/** By itself, so that nothing of it is in the runtime of a model without a tokenizer. */
const tokenizer = {
  ...shared,
  mainFields: ["module", "main"],
  entryPoints: [{ in: "src/generation/packaged/tokenizer.ts", out: "tokenizer" }],
  plugins: [namedClasses],
};

/** The two ends of a package in a worker, each by itself. */
const worker = {
  ...shared,
  external: ["node:*", "webgpu"],
  entryPoints: [
    { in: "src/generation/packaged/worker.ts", out: "worker" },
    { in: "src/generation/packaged/worker-thread.ts", out: "worker-thread" },
  ],
  plugins: [nodeApart, namedClasses],
};

/** The script of a worker thread that has a tokenizer. */
const tokenizerWorker = {
  ...shared,
  format: "iife",
  globalName: "worker",
  mainFields: ["module", "main"],
  entryPoints: [{ in: "src/models/tokenizer/worker.ts", out: "tokenizer-worker" }],
  footer: {
    js:
      // Linux gives each thread its own priority: the thread that answers requests goes first.
      'if (process.platform === "linux") require("node:os").setPriority(0, 10);\n' +
      'const { parentPort } = require("node:worker_threads");\n' +
      'parentPort.on("message", async (message) => parentPort.postMessage(await worker.answer(message)));',
  },
};

/** The scripts of pages with a model in them. */
const page = {
  ...shared,
  mainFields: ["module", "main"],
  external: ["node:*", "webgpu"],
  entryPoints: [
    { in: "page", out: "page" },
    { in: "page-tokenizer", out: "page-tokenizer" },
  ],
  plugins: [nodeApart, namedClasses],
};

/** The script of the page that a server has at `/`. */
const chat = { ...shared, entryPoints: [{ in: "src/tools/serve/page/chat.ts", out: "chat" }] };

async function bundled(options) {
  const { build, transformSync } = await import("esbuild");
  const { outputFiles } = await build(options);
  // The part for Node is small, and its errors are the first that users meet: it keeps its line breaks.
  const spaced = (name, text) =>
    name === basename(NODE_PART) ? transformSync(text, { target: shared.target, charset: "utf8" }).code : text;
  return outputFiles
    .map(({ path, text }) => [
      path.slice(join(root, "runtime").length + 1),
      text.replaceAll(IMPORT, unseenImport(NODE_PART)),
    ])
    .map(([name, text]) => [name, spaced(name, text)])
    .map(([name, text]) => [name, name.includes("tokenizer") ? `${NOTICE}\n${text}` : text])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Leaves the file alone where nothing changed, so that builds stay quick. */
export async function bundle() {
  const record = (files) =>
    `{\n${files.map(([name, text]) => `  ${JSON.stringify(name)}: ${JSON.stringify(text)},\n`).join("")}}`;
  const [files, tokenizerFiles, pageFiles] = [await bundled(runtime), await bundled(tokenizer), await bundled(page)];
  const [[, chatScript]] = await bundled(chat);
  const [[, workerScript]] = await bundled(tokenizerWorker);
  const packers = files.find(([name]) => PACKERS.test(name));
  const engine = files.find(([name]) => name === ENGINE);
  const [seen, unseen] = [`import("./${packers[0]}")`, unseenImport(`./${packers[0]}`)];
  const runtimeFiles = files
    .filter((f) => f !== packers && f !== engine)
    .map(([name, source]) => [name, source.replaceAll(seen, unseen)]);
  const text =
    `// Made by scripts/bundle.mjs from src/generation/packaged and src/tools/serve/page; do not edit.\n` +
    `/** Files of the runtime that built packages carry. */\nexport const runtimeFiles: Readonly<Record<string, ` +
    `string>> = ${record(runtimeFiles)};\n\n` +
    `/** What packages of weights in less than words carry besides; the others import it as \`unseen\`. */\n` +
    `export const packersPart = ${JSON.stringify({ file: packers[0], source: packers[1], seen, unseen })};\n\n` +
    `/** Those that packages with a tokenizer carry besides. */\nexport const tokenizerFiles: ` +
    `Readonly<Record<string, string>> = ${record(tokenizerFiles)};\n\n` +
    `/** What packages for several callers carry besides. */\nexport const engineFiles: ` +
    `Readonly<Record<string, string>> = ${record([engine])};\n\n` +
    `/** The ends of a package in a worker. */\nexport const workerFiles: ` +
    `Readonly<Record<string, string>> = ${record(await bundled(worker))};\n\n` +
    `/** Scripts of pages with a model in them, by whether it has a tokenizer. */\nexport const pageFiles: ` +
    `Readonly<Record<string, string>> = ${record(pageFiles)};\n\n` +
    `/** The script of the page that a server has at \`/\`. */\n` +
    `export const chatScript = ${JSON.stringify(chatScript)};\n\n` +
    `/** The script of a worker thread that has a tokenizer. */\n` +
    `export const tokenizerWorker = ${JSON.stringify(workerScript)};\n`;
  const path = join(root, "src", "ground", "bundled.ts");
  let old = "";
  try {
    old = readFileSync(path, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  if (old !== text) writeFileSync(path, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
