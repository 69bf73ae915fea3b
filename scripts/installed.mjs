// Whether a package's own node_modules is what its lock file asks for.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** By npm's own record. */
export function installed(folder) {
  const record = join(folder, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const versions = (path) =>
    Object.entries(JSON.parse(readFileSync(path, "utf8")).packages).filter(([name]) => name !== "");
  const found = new Map(versions(record).map(([name, { version }]) => [name, version]));
  return versions(join(folder, "package-lock.json")).every(
    ([name, { version, optional }]) => optional || found.get(name) === version,
  );
}
