#!/usr/bin/env node
// `npm run bench` and, as `start.mjs isoflop`, `npm run isoflop`, or as `start.mjs mixtures` mixtures of experts: makes
// the checkout and the bench's own packages ready, then measures. Plain Node, for nothing may be installed yet.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { installed } from "../scripts/installed.mjs";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

run(process.execPath, [join(here, "..", "scripts", "setup.mjs")]);
if (!installed(here)) {
  process.stderr.write("bench: installing the peers (npm ci)\n");
  // The WebGPU and CPU libraries of onnxruntime-node are in its package; its install script would download those for
  // CUDA.
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    ...process.env,
    ONNXRUNTIME_NODE_INSTALL: "skip",
  });
}
const tsx = pathToFileURL(createRequire(join(here, "..", "package.json")).resolve("tsx")).href;
const given = process.argv.slice(2);
const own = ["isoflop", "mixtures"].includes(given[0]) ? given[0] : null;
run(process.execPath, ["--import", tsx, join(here, own ?? "", "main.ts"), ...given.slice(own === null ? 0 : 1)]);

function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, {
    cwd: here,
    stdio: "inherit",
    env,
    shell: command === "npm" && process.platform === "win32",
  });
  if (error) process.stderr.write(`bench: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}
