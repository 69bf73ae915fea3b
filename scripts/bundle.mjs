// Writes src/bundled.ts: the runtime of built packages as minified text, so that `modc build` needs no bundler.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What Node alone loads. */
const NODE_PART = "./node.js";
const IMPORT = `import(${JSON.stringify(NODE_PART)})`;
/** No literal, so that a page's bundler leaves it, and what it asks of Node, alone. */
const UNSEEN_IMPORT = `import(/* @vite-ignore */ /* webpackIgnore: true */ [${JSON.stringify(NODE_PART)}][0])`;

const nodeApart = {
  name: "node-apart",
  setup(build) {
    build.onResolve({ filter: /-node\.js$/ }, ({ kind }) => (kind === "dynamic-import" ? { path: NODE_PART, external: true } : null));
    build.onResolve({ filter: /^node-part$/ }, () => ({ path: "node-part", namespace: "node-part" }));
    build.onLoad({ filter: /.*/, namespace: "node-part" }, () => ({
      contents: `export { openNodeAdapter } from "./src/packaged/adapter-node.js";\nexport { readBytes } from "./src/packaged/files-node.js";\n`,
      resolveDir: root,
      loader: "js",
    }));
  },
};

/** The files of the runtime by name; the same from the same sources. */
async function bundled() {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: "src/packaged/index.ts", out: "index" },
      { in: "node-part", out: "node" },
    ],
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    external: ["node:*", "webgpu"],
    outdir: "runtime",
    chunkNames: "shared-[hash]",
    legalComments: "none",
    charset: "utf8",
    write: false,
    logLevel: "error",
    plugins: [nodeApart],
  });
  return outputFiles
    .map(({ path, text }) => [path.slice(join(root, "runtime").length + 1), text.replaceAll(IMPORT, UNSEEN_IMPORT)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Leaves the file alone where nothing changed, so that builds stay quick. */
export async function bundle() {
  const files = (await bundled()).map(([name, text]) => `  ${JSON.stringify(name)}: ${JSON.stringify(text)},\n`).join("");
  const text =
    `// Made by scripts/bundle.mjs from src/packaged, and what it imports; do not edit.\n` +
    `/** Files of the runtime that built packages carry. */\nexport const runtimeFiles: Readonly<Record<string, string>> = {\n${files}};\n`;
  const path = join(root, "src", "bundled.ts");
  let old = "";
  try {
    old = readFileSync(path, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  if (old !== text) writeFileSync(path, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
