// The version of modc, which package.json has, and the folder of modc.
import { bug } from "../../../ground/base/invariant.js";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of modc's package.json, above this file: built, bundled and as source the file has different depths. */
export function modcFolder(): string {
  let manifest = new URL("./package.json", import.meta.url);
  while (!existsSync(manifest)) {
    const above = new URL("../package.json", manifest);
    if (above.href === manifest.href) bug("there is no package.json above the command line");
    manifest = above;
  }
  return fileURLToPath(new URL(".", manifest)).replace(/[\\/]$/, "");
}

export function modcVersion(): string {
  const text = readFileSync(join(modcFolder(), "package.json"), "utf8");
  const { version } = JSON.parse(text) as { version: string }; // our own file
  return version;
}
