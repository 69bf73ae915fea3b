#!/usr/bin/env node
// Makes a checkout ready to run: dependencies, build and, where there is none, a software GPU. Plain Node; everything it says goes to stderr.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { embed } from "./embed.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text) => process.stderr.write(`setup: ${text}\n`);

/** A step that cannot succeed: its message is all the user needs. */
class SetupError extends Error {}

/** Each step looks first and does nothing where nothing is to be done. `driver: false` leaves the system alone. */
export function setup({ driver = true } = {}) {
  requireNode();
  installDependencies();
  build();
  if (driver) ensureDriver();
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`modc needs Node 20.19 or later, this is ${process.versions.node}`);
}

function installDependencies() {
  if (dependenciesMatch()) return;
  say("installing dependencies (npm ci)");
  // Run by npm, this process knows npm's own script; a bare `node scripts/setup.mjs` finds it on the path.
  const script = process.env.npm_execpath;
  const byNode = script !== undefined && script.endsWith("npm-cli.js");
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: ["ignore", 2, 2], shell: !byNode && process.platform === "win32" };
  const { status, error } = byNode ? spawnSync(process.execPath, [script, ...args], options) : spawnSync("npm", args, options);
  if (status !== 0) throw new SetupError(`npm ci failed${error ? `: ${error.message}` : ""}; nothing works without the dependencies`);
}

/** Whether node_modules holds what package-lock.json asks for, by npm's own record of what it installed. */
function dependenciesMatch() {
  const wanted = packagesOf(join(root, "package-lock.json"));
  const installed = packagesOf(join(root, "node_modules", ".package-lock.json"));
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, p]) => {
    const found = installed[path];
    if (path === "" || (found === undefined && p.optional)) return true;
    return found !== undefined && found.version === p.version && found.integrity === p.integrity;
  });
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return null; // missing or half written: both mean that it must be installed
  }
}

/** Compiles `src` and `grammar` into `dist`, where they have changed. */
export function build() {
  embed();
  const fingerprint = fingerprintOf(["src", "grammar", "tsconfig.json", "tsconfig.build.json", "package-lock.json"]);
  const stamp = join(root, "dist", ".fingerprint");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint) return;
  say("building (tsc)");
  // Built beside its place and then renamed, so that a running modc never sees half a build. The same depth keeps source maps right.
  const fresh = join(root, `.dist-${process.pid}`);
  const old = join(root, `.dist-${process.pid}-old`);
  try {
    const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
    const { status } = spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", fresh], { cwd: root, stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new SetupError("the build failed");
    chmodSync(join(fresh, "src", "cli", "main.js"), 0o755);
    writeFileSync(join(fresh, ".fingerprint"), fingerprint);
    if (existsSync(join(root, "dist"))) renameSync(join(root, "dist"), old);
    renameSync(fresh, join(root, "dist"));
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    rmSync(old, { recursive: true, force: true });
  }
}

/** A hash of names and contents, so that neither a checkout nor a copy of the tree looks like a change. */
function fingerprintOf(paths) {
  const hash = createHash("sha256");
  const visit = (path) => {
    const full = join(root, path);
    if (statSync(full).isDirectory()) for (const name of readdirSync(full).sort()) visit(`${path}/${name}`);
    else hash.update(path).update("\0").update(readFileSync(full)).update("\0");
  };
  for (const path of paths) visit(path);
  return hash.digest("hex");
}

const PACKAGES = ["libvulkan1", "mesa-vulkan-drivers"];

/** Mesa's software GPU is six times quicker than SwiftShader; where it can be installed without asking anybody, it is. */
function ensureDriver() {
  if (process.platform !== "linux" || process.env.MODC_NO_INSTALL || hasVulkan()) return;
  const hint = `apt-get install -y --no-install-recommends ${PACKAGES.join(" ")}`;
  if (process.getuid?.() !== 0 || !onPath("apt-get")) {
    if (!existsSync(join(root, "node_modules", "@sparticuz", "chromium")))
      say(`no Vulkan driver and no SwiftShader for this machine; only the reference runs (\`${hint}\` as root brings a driver)`);
    return;
  }
  const attempt = join(root, "node_modules", ".cache", "modc", "driver-attempt");
  const DAY = 24 * 3600 * 1000;
  if (existsSync(attempt) && Date.now() - statSync(attempt).mtimeMs < DAY) return;
  say(`no Vulkan driver was found: ${hint}`);
  // A bare image has no lists of packages yet, and an old one lists packages that are gone.
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...PACKAGES];
  const error = apt(install) && (apt(["update", "-qq"]) || apt(install));
  if (!error) return;
  process.stderr.write(`${error}\n`);
  mkdirSync(dirname(attempt), { recursive: true });
  writeFileSync(attempt, "");
  say("that failed; modc falls back on SwiftShader, which is slower");
}

function hasVulkan() {
  const loader = ["/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib", ...multiarch()].some((folder) => existsSync(join(folder, "libvulkan.so.1")));
  const drivers = ["/etc", "/usr/share", "/usr/local/etc", "/usr/local/share"].some((folder) => {
    const icd = join(folder, "vulkan", "icd.d");
    return existsSync(icd) && readdirSync(icd).some((name) => name.endsWith(".json"));
  });
  return loader && (drivers || Boolean(process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES));
}

function multiarch() {
  const folder = "/usr/lib";
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.includes("-linux-"))
        .map((name) => join(folder, name))
    : [];
}

const onPath = (name) => (process.env.PATH ?? "").split(":").some((folder) => folder && existsSync(join(folder, name)));

/** Null where it succeeds, else what it said. */
function apt(args) {
  const { status, stderr, error } = spawnSync("apt-get", args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0 ? null : (error?.message ?? stderr.trim());
}

/** Runs `setup` for a script: prints what is wrong, without a stack trace, and ends the process. */
export function setupOrExit(options) {
  try {
    setup(options);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exit(1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setupOrExit({ driver: !process.argv.includes("--no-driver") });
