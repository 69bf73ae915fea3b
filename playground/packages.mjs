// The playground's own packages: installed where they are missing, so that users of modc never have them.
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { installed } from "../scripts/installed.mjs";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Throws where they cannot be had. */
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
