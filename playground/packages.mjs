// The playground's own packages: a first use installs the packages, and users of modc never download any.
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { installed } from "../scripts/installed.mjs";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Throws if the packages cannot be installed. */
export function installPackages() {
  if (installed(here)) return;
  process.stderr.write("playground: installing its packages (npm ci)\n");
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, error } = spawnSync("npm", args, {
    cwd: here,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error(`npm ci failed in playground/${error ? `: ${error.message}` : ""}`);
}
