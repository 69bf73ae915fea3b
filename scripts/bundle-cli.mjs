// `node scripts/bundle-cli.mjs <dist>` writes the command line into <dist>/src/cli: main.js, demo.js, and chunks that
// commands share and load when they need them. Hundreds of modules of its own and of its libraries would each be found,
// read and linked at every start.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(resolve(process.argv[2]), "src", "cli");

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["src/cli/main.ts", "src/cli/demo.ts"],
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

// What the licences of the libraries in it ask for.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []),
);
const licence = (path) => {
  const file = readdirSync(join(root, path)).find((name) => /^licen[cs]e/i.test(name));
  const { name, version, license } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"));
  return (
    `${name} ${version}: ` +
    `${license}\n${file === undefined ? "" : `\n${readFileSync(join(root, path, file), "utf8").trim()}\n`}`
  );
};
writeFileSync(
  join(folder, "LICENSES.txt"),
  [...packages]
    .sort()
    .map(licence)
    .join(`\n${"-".repeat(80)}\n\n`),
);
