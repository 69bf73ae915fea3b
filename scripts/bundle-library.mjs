// `node scripts/bundle-library.mjs <dist>` writes what package.json exports into <dist>/lib: a module for each entry,
// and chunks that they share, with the parser's library in them. From hundreds of modules the compiler loads eight
// times as long. The types are the files of <dist>/src.
import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { writeLicences } from "./licences.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(resolve(process.argv[2]), "lib");

const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const entryPoints = Object.values(exports)
  .flatMap((entry) => [entry, ...(entry.browser ? [entry.browser] : [])])
  .flatMap(({ types, default: file }) =>
    file === undefined
      ? []
      : [{ in: types.replace(/^\.\/dist\//, "").replace(/\.d\.ts$/, ".ts"), out: basename(file, ".js") }],
  );
// Modules for Node alone get their own names: package.json leaves them out of a page (`browser`).
const node = ["device", "weights"].map((room) => ({ in: `src/runtime/${room}/${room}-node.ts`, out: `${room}-node` }));

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: [...entryPoints, ...node],
  outdir: folder,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "es2022",
  external: ["webgpu", "@huggingface/*", "hono", "@hono/node-server"],
  chunkNames: "chunk-[hash]",
  sourcemap: true,
  sourcesContent: false,
  charset: "utf8",
  logLevel: "error",
  metafile: true,
});
writeLicences(root, folder, metafile);
