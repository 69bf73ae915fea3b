// What the licences of bundled libraries ask for: a file of their texts beside the bundle.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes LICENSES.txt into `folder`: the licence of each package among the inputs of an esbuild metafile. */
export function writeLicences(root, folder, metafile) {
  const packages = new Set(
    Object.keys(metafile.inputs).flatMap((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []),
  );
  const licence = (path) => {
    const file = readdirSync(join(root, path)).find((name) => /^licen[cs]e/i.test(name));
    const { name, version, license } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"));
    const text = file === undefined ? "" : `\n${readFileSync(join(root, path, file), "utf8").trim()}\n`;
    return `${name} ${version}: ${license}\n${text}`;
  };
  writeFileSync(
    join(folder, "LICENSES.txt"),
    [...packages]
      .sort()
      .map(licence)
      .join(`\n${"-".repeat(80)}\n\n`),
  );
}
