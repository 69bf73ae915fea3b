// Programs of tests that run in separate processes: bundled once, so that each process starts without a compiler.
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

// Packages are found from here.
const folder = fileURLToPath(new URL("../node_modules/.cache/modc/children", import.meta.url));
const bundled = new Set<string>();

/** What Node runs for a program in TypeScript. */
export function childOf(program: URL): string {
  const source = fileURLToPath(program);
  const outfile = join(folder, basename(source).replace(/\.ts$/, ".mjs"));
  if (!bundled.has(source))
    buildSync({
      entryPoints: [source],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "es2022",
      packages: "external",
    });
  bundled.add(source);
  return outfile;
}
