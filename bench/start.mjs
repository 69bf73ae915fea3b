#!/usr/bin/env node
// `npm run bench` and, as `start.mjs isoflop`, `npm run isoflop`; `start.mjs mixtures` measures mixtures of experts,
// `start.mjs llama` llama.cpp, `start.mjs serving` a server under load, `start.mjs records` what records add
// to a step of training, `start.mjs recurrences` linear attention beside attention, `start.mjs families` the budgets of
// pairs, recurrences and a routed Mamba-2,
// `start.mjs exported` graphs of ONNX,
// `start.mjs hardware` (`npm run bench -- hardware`) asks the compilers of cards that are not there. Makes the checkout
// and the bench's own packages ready, then measures. Plain Node, for nothing may be installed yet.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { installed } from "../scripts/installed.mjs";
import { fileURLToPath, pathToFileURL } from "node:url";

const QUIET = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
const here = dirname(fileURLToPath(import.meta.url));

run(process.execPath, [join(here, "..", "scripts", "setup.mjs")]);
const given = process.argv.slice(2);
const own = [
  "isoflop",
  "mixtures",
  "llama",
  "serving",
  "records",
  "recurrences",
  "families",
  "exported",
  "hardware",
].includes(given[0])
  ? given[0]
  : null;
// Without options the lab asks other runtimes too.
const peers =
  !["records", "recurrences", "families"].includes(own) &&
  (own !== "hardware" || given.length === 1 || given.includes("--peers"));
const tsx = pathToFileURL(createRequire(join(here, "..", "package.json")).resolve("tsx")).href;
// Nothing is installed where the drivers are missing.
if (own === "hardware" && peers)
  run(process.execPath, ["--import", tsx, join(here, own, "ready.ts"), ...given.slice(1)]);
if (own === "llama") {
  if (process.platform !== "linux" || process.arch !== "x64") {
    process.stderr.write("bench: llama.cpp is installed for Linux on x64 alone\n");
    process.exit(1);
  }
  installLlamaCpp(join(here, "llama"));
} else if (peers && !installed(here)) {
  process.stderr.write("bench: installing the peers (npm ci)\n");
  // The WebGPU and CPU libraries of onnxruntime-node are in its package; its install script would download those for
  // CUDA.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" };
  run("npm", ["ci", ...QUIET], { env, optional: own === "hardware" });
}
if (own === "hardware" && peers && process.platform === "linux" && process.arch === "x64")
  installLlamaCpp(join(here, "llama"), true);
run(process.execPath, ["--import", tsx, join(here, own ?? "", "main.ts"), ...given.slice(own === null ? 0 : 1)]);

/**
 * Without what is optional, which is compiled for CUDA and for other systems, a gigabyte of it. As not all of that is in
 * every registry, no lock file would be complete.
 */
function installLlamaCpp(folder, optional = false) {
  const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const found = Object.entries(dependencies).every(([name, version]) => {
    const path = join(folder, "node_modules", name, "package.json");
    return existsSync(path) && JSON.parse(readFileSync(path, "utf8")).version === version;
  });
  if (found) return;
  process.stderr.write("bench: installing llama.cpp (npm install)\n");
  run("npm", ["install", "--no-package-lock", "--omit=optional", ...QUIET], { cwd: folder, optional });
}

/** Ends with the status of what fails, unless that is optional. */
function run(command, args, { env = process.env, cwd = here, optional = false } = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: "inherit",
    env,
    shell: command === "npm" && process.platform === "win32",
  });
  if (error) process.stderr.write(`bench: ${error.message}\n`);
  if (status === 0) return;
  if (!optional) process.exit(status ?? 1);
  process.stderr.write(`bench: ${command} ${args[0]} failed; the report goes on without what it installs\n`);
}
