// The playground's own packages: installed where they are missing, so that users of modc never have them.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Throws where they cannot be had. */
export function installPackages() {
  if (installed()) return;
  process.stderr.write("playground: installing its packages (npm ci)\n");
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, error } = spawnSync("npm", args, { cwd: here, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (status !== 0) throw new Error(`npm ci failed in playground/${error ? `: ${error.message}` : ""}`);
}

/** Whether node_modules holds what package-lock.json asks for, by npm's own record. */
function installed() {
  const record = join(here, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const versions = (path) => Object.entries(JSON.parse(readFileSync(path, "utf8")).packages).filter(([name]) => name !== "");
  const found = new Map(versions(record).map(([name, { version }]) => [name, version]));
  return versions(join(here, "package-lock.json")).every(([name, { version, optional }]) => optional || found.get(name) === version);
}
