#!/usr/bin/env node
// Makes a checkout ready to run: dependencies, build and, where there is none, a software GPU. Plain Node; everything
// it says goes to stderr.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { embed } from "./embed.mjs";
import { dawnFile, PATCHES, quietDawn } from "./quiet-dawn.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text) => process.stderr.write(`setup: ${text}\n`);

/** A step that cannot succeed: its message is all the user needs. */
class SetupError extends Error {}

/** Each step looks first and does nothing where nothing is to be done. `driver: false` leaves the system alone. */
export function setup({ driver = true } = {}) {
  requireNode();
  installDependencies();
  const dawn = dawnFile(root);
  if (dawn !== null) quietDawn(dawn, PATCHES[process.arch]);
  build();
  if (driver) ensureDriver();
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`modc needs Node 20.19 or later, this is ${process.versions.node}`);
}

function installDependencies() {
  if (read(COMPLETE) === lockState()) return;
  const missing = missingDependencies();
  if (!missing.optional && !missing.needed) {
    rememberComplete();
    return;
  }
  if (missing.needed) {
    say("installing dependencies (npm ci)");
    const { status, error } = npm("ci");
    if (status !== 0)
      throw new SetupError(`npm ci failed${error ? `: ${error.message}` : ""}; nothing works without the dependencies`);
  } else if (triedToday("optional")) return;
  else {
    say("installing optional dependencies that are missing (npm install)");
    npm("install", "--no-save");
  }
  // npm passes over an optional package that it cannot have, without a word.
  if (missingDependencies().optional) {
    say("some optional dependencies cannot be installed; they are tried again tomorrow");
    rememberTry("optional");
  }
}

const LOCKS = [join(root, "package-lock.json"), join(root, "node_modules", ".package-lock.json")];
/**
 * Has the state of both lock files in which nothing was missing, so that the next start need not compare them: 17 ms of
 * 40.
 */
const COMPLETE = join(root, "node_modules", ".cache", "modc", "complete");

/** Changes whenever a lock file is written, and with the machine: node_modules may lie on a disk that several have. */
function lockState() {
  const state = (path) => {
    const { size, mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? {};
    return `${size} ${mtimeMs}`;
  };
  return [process.platform, process.arch, process.versions.node, ...LOCKS.map(state)].join("\n");
}

function rememberComplete() {
  try {
    mkdirSync(dirname(COMPLETE), { recursive: true });
    writeFileSync(COMPLETE, lockState());
  } catch (error) {
    // A checkout that cannot be written is compared each time.
    if (!["EACCES", "EPERM", "EROFS"].includes(error.code)) throw error;
  }
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

function npm(...args) {
  // Run by npm, this process knows npm's own script; a bare `node scripts/setup.mjs` finds it on the path.
  const script = process.env.npm_execpath;
  const byNode = script !== undefined && script.endsWith("npm-cli.js");
  const all = [...args, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: ["ignore", 2, 2], shell: !byNode && process.platform === "win32" };
  return byNode ? spawnSync(process.execPath, [script, ...all], options) : spawnSync("npm", all, options);
}

/** Compares package-lock.json with npm's own record of the installed packages in node_modules. */
function missingDependencies() {
  const [wanted, installed] = LOCKS.map(packagesOf);
  return wanted && installed ? missingPackages(wanted, installed) : { needed: true, optional: true };
}

/**
 * Whether packages are missing or differ from the locked version: needed ones, and optional ones for this machine. Both
 * tables map paths to packages, as in lock files.
 */
export function missingPackages(
  wanted,
  installed,
  machine = { os: process.platform, cpu: process.arch, libc: libc() },
) {
  const missing = { needed: false, optional: false };
  const differs = (path) =>
    installed[path]?.version !== wanted[path].version || installed[path]?.integrity !== wanted[path].integrity;
  for (const [path, p] of Object.entries(wanted))
    if (path !== "" && !p.optional && differs(path)) missing.needed = true;
  // Optional packages belong to other packages: if no package of this machine asks for an optional one, it is not
  // missing.
  const reached = new Set([""]);
  for (const path of reached) {
    if (wanted[path].optional && differs(path)) missing.optional = true;
    const { dependencies, devDependencies, optionalDependencies } = wanted[path];
    for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      const found = resolvePackage(wanted, path, name);
      if (found !== null && runsOn(wanted[found], machine)) reached.add(found);
    }
  }
  return missing;
}

/** The path at which a package finds another: next to itself, or next to a package that contains it. */
function resolvePackage(packages, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const path = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    if (packages[path]) return path;
    if (folder === "") return null;
  }
}

const runsOn = (p, machine) =>
  ["os", "cpu", "libc"].every((key) => !p[key] || machine[key] === null || p[key].includes(machine[key]));

/** The C library of a Linux system; null on other systems. */
function libc() {
  if (process.platform !== "linux") return null;
  return process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl";
}

const DAY = 24 * 3600 * 1000;
const tryMark = (what) => join(root, "node_modules", ".cache", "modc", `tried-${what}`);

/** What failed is tried once a day, so that a machine without a network starts quickly. */
function triedToday(what) {
  return existsSync(tryMark(what)) && Date.now() - statSync(tryMark(what)).mtimeMs < DAY;
}

function rememberTry(what) {
  mkdirSync(dirname(tryMark(what)), { recursive: true });
  writeFileSync(tryMark(what), "");
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
  const current = () =>
    fingerprintOf([
      "src",
      "grammar",
      "scripts/bundle.mjs",
      "scripts/bundle-cli.mjs",
      "scripts/bundle-library.mjs",
      "scripts/licences.mjs",
      "package.json",
      "tsconfig.json",
      "tsconfig.build.json",
      "package-lock.json",
    ]);
  const stamp = join(root, "dist", ".fingerprint");
  if (read(stamp) === current()) return;
  say("building (esbuild, tsc)");
  // Each step is a process: esbuild takes plugins and splits only in its asynchronous API.
  const step = (what, ...args) => {
    if (spawnSync(process.execPath, args, { cwd: root, stdio: ["ignore", 2, 2] }).status !== 0)
      throw new SetupError(what);
  };
  step("the runtime of built packages could not be bundled", join(root, "scripts", "bundle.mjs"));
  const fingerprint = current();
  // Built beside its place and then renamed, so that a running modc never sees half a build. The same depth keeps
  // source maps right.
  const fresh = join(root, `.dist-${process.pid}`);
  const old = join(root, `.dist-${process.pid}-old`);
  try {
    const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
    step("the build failed", tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", fresh);
    step("the command line could not be bundled", join(root, "scripts", "bundle-cli.mjs"), fresh);
    step("the library could not be bundled", join(root, "scripts", "bundle-library.mjs"), fresh);
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
export function fingerprintOf(paths) {
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
const INSTALL = `apt-get install -y --no-install-recommends ${PACKAGES.join(" ")}`;

/** Mesa's software GPU is six times quicker than SwiftShader: this installs it if no question to the user is needed. */
function ensureDriver() {
  if (process.platform !== "linux" || process.env.MODC_NO_INSTALL || hasVulkan()) return;
  const named = namedDrivers(process.env) !== null;
  const hint = named ? "VK_DRIVER_FILES names none" : `\`${INSTALL}\` as root brings a driver`;
  // Where the user says which drivers there are, installing others changes nothing.
  if (named || process.getuid?.() !== 0 || !onPath("apt-get")) {
    if (!existsSync(join(root, "node_modules", "@sparticuz", "chromium")))
      say(`no Vulkan driver and no SwiftShader for this machine; only the reference runs (${hint})`);
    return;
  }
  if (triedToday("driver")) return;
  say(`no Vulkan driver was found: ${INSTALL}`);
  // A bare image has no lists of packages yet, and an old one lists packages that are gone.
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...PACKAGES];
  const error = apt(install) && (apt(["update", "-qq"]) || apt(install));
  if (!error) return;
  process.stderr.write(`${error}\n`);
  rememberTry("driver");
  say("that failed; modc falls back on SwiftShader, which is slower");
}

function hasVulkan() {
  const loader = ["/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib", ...multiarch()].some((folder) =>
    existsSync(join(folder, "libvulkan.so.1")),
  );
  return loader && hasDriver(process.env);
}

/**
 * Whether there is a manifest of a Vulkan driver where the loader looks: in what the environment names, else in the
 * system's folders.
 */
export function hasDriver(env) {
  const places =
    namedDrivers(env) ??
    ["/etc", "/usr/share", "/usr/local/etc", "/usr/local/share"].map((folder) => join(folder, "vulkan", "icd.d"));
  return places.some(
    (place) =>
      existsSync(place) &&
      (!statSync(place).isDirectory() || readdirSync(place).some((name) => name.endsWith(".json"))),
  );
}

/** The files and folders that stand in for the system's; null where none are named. */
function namedDrivers({ VK_DRIVER_FILES, VK_ICD_FILENAMES }) {
  const named = VK_DRIVER_FILES || VK_ICD_FILENAMES;
  return named ? named.split(":").filter((place) => place !== "") : null;
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

/** Null on success, else the error's text. */
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
