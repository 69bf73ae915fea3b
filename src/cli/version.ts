// The version of modc: package.json's.
import { readFileSync } from "node:fs";

export function modcVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string }; // our own file
  return version;
}
