// `node scripts/bundle-cli.mjs <dist>` writes the command line into <dist>/src/cli: main.js, demo.js,
// hardware-child.js, and chunks that commands share and load when they need them. Otherwise every start would find,
// read and link hundreds of modules, modc's and its libraries'.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { writeLicences } from "./licences.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(resolve(process.argv[2]), "src", "cli");

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["src/tools/cli/main.ts", "src/tools/cli/demo.ts", "src/tools/cli/hardware-child.ts"],
  outdir: folder,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  mainFields: ["module", "main"],
  external: ["webgpu"],
  // Libraries that are CommonJS ask for Node's modules by `require`, which a module has not.
  banner: {
    js: `import { createRequire as makeRequire } from "node:module";\nconst require = makeRequire(import.meta.url);`,
  },
  chunkNames: "chunk-[hash]",
  // Not packed: in a checkout MODC_DEBUG=1 shows lines of the sources, elsewhere those of the chunks, which are not
  // minified.
  sourcemap: true,
  sourcesContent: false,
  charset: "utf8",
  logLevel: "error",
  metafile: true,
});

writeLicences(root, folder, metafile);
