// The version of modc: package.json's.
import { bug } from "../../base/invariant.js";
import { existsSync, readFileSync } from "node:fs";

/** Of the nearest package.json above this file: built, bundled and as source it lies at different depths. */
export function modcVersion(): string {
  let place = new URL("./package.json", import.meta.url);
  while (!existsSync(place)) {
    const above = new URL("../package.json", place);
    if (above.href === place.href) bug("there is no package.json above the command line");
    place = above;
  }
  const { version } = JSON.parse(readFileSync(place, "utf8")) as { version: string }; // our own file
  return version;
}
