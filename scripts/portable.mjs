#!/usr/bin/env node
// `npm run portable -- -o <folder>`: a folder that tests and measures modc on any x86-64 Linux machine with a GPU's
// driver, without a network or anything installed; and the same packed, <folder>.tar.gz.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { setupOrExit } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** What the packed folder may have. */
const MOST_BYTES = 60e6;

/**
 * Node itself needs a part of the system's C library; the portable folder also has the libraries next to it, for
 * systems without them.
 */
const BASE = ["libstdc++.so.6", "libgcc_s.so.1"];
const VULKAN = ["libvulkan.so.1"];

const RUN = `#!/bin/sh
# Tests and measures modc on this machine within nine minutes: run.sh [--seconds <n>] [folder for the results].
case $0 in */*) here=\${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd) || exit 1
"$here/bin/node" --version >/dev/null 2>&1 ||
  export LD_LIBRARY_PATH="$here/lib/base\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# A user without an entry and a variable has no home, which Node refuses to look up.
export HOME="\${HOME:-$here}"
exec "$here/bin/node" "$here/modc/bench/run.js" "$@"
`;

const READ_ME = `modc, to be tested and measured on a machine with a GPU.

./run.sh takes at most nine minutes, needs no network, and writes nothing but results/ in this folder (or in the folder
that it is given): results.md to read, results.json to keep. bin/node modc/dist/src/cli/main.js is the command line.
`;

function fail(text) {
  process.stderr.write(`portable: ${text}\n`);
  process.exit(1);
}

/** Where the loader of this system finds a library. */
function libraryOf(name) {
  const folders = [
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/usr/local/lib",
  ];
  const place = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  return place === undefined ? null : realpathSync(place);
}

/** Makes the folder; its packed size. `pack: false` leaves that out: null. */
export async function portable(folder, { pack = true } = {}) {
  if (process.platform !== "linux" || process.arch !== "x64") fail("such a folder is made on x86-64 Linux only");
  if (existsSync(folder) && readdirSync(folder).length > 0) fail(`${folder} is there and not empty`);
  const to = (...parts) => {
    const path = join(folder, ...parts);
    mkdirSync(dirname(path), { recursive: true });
    return path;
  };
  const copy = (from, ...parts) => copyFileSync(from, to(...parts));

  copy(process.execPath, "bin", "node");
  chmodSync(to("bin", "node"), 0o755);
  // The tables of symbols are of use to debuggers alone; if `strip` is not installed, the tables stay.
  spawnSync("strip", ["--strip-all", to("bin", "node")], { stdio: "ignore" });
  for (const [under, names] of Object.entries({ base: BASE, vulkan: VULKAN }))
    for (const name of names) {
      const found = libraryOf(name);
      if (found === null) fail(`${name} was not found on this system`);
      copy(found, "lib", under, name);
    }

  const dawn = join(root, "node_modules", "webgpu");
  for (const file of ["package.json", "index.js", join("dist", "linux-x64", "dawn.node")])
    copy(join(dawn, file), "modc", "node_modules", "webgpu", file);
  copy(join(root, "package.json"), "modc", "package.json");
  copy(join(root, "LICENSE"), "modc", "LICENSE");
  const noMap = (path) => !path.endsWith(".map");
  cpSync(join(root, "dist", "src", "cli"), to("modc", "dist", "src", "cli"), {
    recursive: true,
    filter: (path) => noMap(path) && !path.endsWith(".d.ts"),
  });
  cpSync(join(root, "examples"), to("modc", "examples"), { recursive: true });
  cpSync(join(root, "bench", "models"), to("modc", "bench", "models"), { recursive: true });
  // What the lab estimates for cards that were not there.
  const estimates = join(root, "bench", "hardware.json");
  if (existsSync(estimates)) copy(estimates, "modc", "bench", "hardware.json");
  else process.stderr.write("portable: without estimates: `npm run bench -- hardware` writes bench/hardware.json\n");
  await build({
    absWorkingDir: root,
    entryPoints: ["bench/portable/run.ts", "bench/portable/measure.ts"],
    outdir: to("modc", "bench"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    external: ["webgpu"],
    banner: {
      js: `import { createRequire as makeRequire } from "node:module";\nconst require = makeRequire(import.meta.url);`,
    },
    charset: "utf8",
    logLevel: "error",
  });
  writeFileSync(to("README.txt"), READ_ME);
  writeFileSync(to("run.sh"), RUN);
  chmodSync(to("run.sh"), 0o755);
  if (!pack) return null;

  const packed = `${folder}.tar.gz`;
  const made = spawnSync("tar", ["-czf", packed, "-C", dirname(folder), basename(folder)], { stdio: ["ignore", 2, 2] });
  if (made.status !== 0) fail("tar failed");
  return { packed, bytes: statSync(packed).size };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [flag, named, ...others] = process.argv.slice(2);
  if ((flag !== "-o" && flag !== "--output") || named === undefined || others.length > 0)
    fail("the folder is named by -o: npm run portable -- -o folder");
  setupOrExit({ driver: false });
  const { packed, bytes } = await portable(resolve(named));
  process.stdout.write(`${named}/run.sh\n${packed}: ${(bytes / 1e6).toFixed(1)} MB\n`);
  if (bytes > MOST_BYTES) fail(`the packed folder has more than ${MOST_BYTES / 1e6} MB`);
}
