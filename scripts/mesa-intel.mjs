#!/usr/bin/env node
// `node scripts/mesa-intel.mjs`: builds Mesa's driver for Intel's GPUs, and Mesa's stub of the kernel's driver, with
// which it opens GPUs that do not exist. The source is Debian's, the target is the user's cache folder. No Debian
// package has the stub. `--from <archive or folder>` takes both libraries from there instead. The system is unchanged.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, isAbsolute, join, resolve } from "node:path";
import { parseArgs } from "node:util";

const USAGE = "usage: node scripts/mesa-intel.mjs [--from <archive or folder that has both libraries>]";
const VERSION = "25.0.7";
const SOURCE = {
  url: `http://deb.debian.org/debian/pool/main/m/mesa/mesa_${VERSION}.orig.tar.xz`,
  sha256: "592272df3cf01e85e7db300c449df5061092574d099da275d19e97ef0510f8a6",
};
const LIBRARIES = ["src/intel/vulkan/libvulkan_intel.so", "src/intel/tools/libintel_noop_drm_shim.so"];
const names = LIBRARIES.map((path) => basename(path));
/** The packages that the build needs, by their names in Debian 13. */
const PACKAGES =
  "g++ xz-utils meson ninja-build pkg-config bison flex glslang-tools spirv-tools python3-mako python3-yaml " +
  "python3-packaging libdrm-dev libexpat1-dev zlib1g-dev libzstd-dev libelf-dev libclc-19 libclc-19-dev llvm-19-dev " +
  "libclang-19-dev libclang-cpp19-dev libllvmspirvlib-19-dev";
const OFF = ["glx", "egl", "gbm", "gles1", "gles2", "intel-rt", "valgrind", "libunwind", "lmsensors"];
const NONE = ["gallium-drivers", "platforms", "video-codecs"];
const OPTIONS = [
  "vulkan-drivers=intel",
  "tools=drm-shim,intel",
  "opengl=false",
  "buildtype=release",
  ...OFF.map((name) => `${name}=disabled`),
  ...NONE.map((name) => `${name}=`),
].map((option) => `-D${option}`);

const HINT = `building needs, as root: apt-get install -y --no-install-recommends ${PACKAGES}`;
const TOOLS = "g++ xz pkg-config meson ninja bison flex glslangValidator spirv-as llvm-config-19 strip".split(" ");
/** For a source of some 40 MB. */
const FETCH_MS = 600_000;

class Fault extends Error {}

/** As src/ground/files/cache-node.ts has it. */
function userCache() {
  const named = process.env["XDG_CACHE_HOME"];
  if (named && isAbsolute(named)) return join(named, "modc");
  try {
    if (isAbsolute(homedir())) return join(homedir(), ".cache", "modc");
  } catch {
    // A user without a home: `homedir` throws.
  }
  const uid = process.getuid?.() ?? 0;
  const folder = join(tmpdir(), `modc-${uid}`);
  const owner = lstatSync(folder, { throwIfNoEntry: false })?.uid ?? uid;
  if (owner !== uid) throw new Fault(`there is no home folder, and ${folder} is another user's: set XDG_CACHE_HOME`);
  return folder;
}

/** Debian's own programs first: another Python has no Mako. */
const env = { ...process.env, PATH: `/usr/bin:/bin:${process.env["PATH"] ?? ""}` };
/** On an interrupt, ends running processes and removes temporary files. */
const stop = new AbortController();

async function run(command, args, cwd, hint = "") {
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", 2, 2], signal: stop.signal });
  const status = await new Promise((done) => {
    let error = null;
    child.on("error", (fault) => (error = fault));
    child.on("close", (code) => done(error?.code === "ENOENT" ? null : code));
  });
  if (stop.signal.aborted) throw new Fault("interrupted");
  if (status === 0) return;
  throw new Fault(`${command} ${status === null ? "is not there or was killed" : "failed"}${hint && `; ${hint}`}`);
}

async function fetched() {
  process.stderr.write(`mesa-intel: fetching ${SOURCE.url}\n`);
  let packed;
  try {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(FETCH_MS)]);
    const answer = await fetch(SOURCE.url, { signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    packed = Buffer.from(await answer.arrayBuffer());
  } catch (error) {
    if (stop.signal.aborted) throw new Fault("interrupted");
    throw new Fault(`${SOURCE.url}: ${error.cause?.message ?? error.message}`);
  }
  if (createHash("sha256").update(packed).digest("hex") !== SOURCE.sha256)
    throw new Fault(`${SOURCE.url} has another hash than the source that modc knows: nothing was built`);
  return packed;
}

async function build(fresh) {
  for (const tool of TOOLS)
    if (spawnSync(tool, ["--version"], { stdio: "ignore", env }).error)
      throw new Fault(`${tool} is not there; ${HINT}`);
  writeFileSync(join(fresh, "mesa.tar.xz"), await fetched());
  await run("tar", ["xJf", "mesa.tar.xz"], fresh, HINT);
  const source = join(fresh, `mesa-${VERSION}`);
  process.stderr.write("mesa-intel: building, some ten minutes of two processors\n");
  await run("meson", ["setup", "build", ...OPTIONS], source, HINT);
  await run("ninja", ["-C", "build", ...LIBRARIES], source, HINT);
  const made = join(fresh, "made");
  mkdirSync(made);
  for (const path of LIBRARIES)
    await run("strip", ["--strip-unneeded", "-o", join(made, basename(path)), join("build", path)], source, HINT);
  return made;
}

async function unpack(from, fresh) {
  if (!existsSync(from)) throw new Fault(`${from} is not there`);
  const [made, unpacked] = ["made", "unpacked"].map((name) => join(fresh, name));
  for (const path of [made, unpacked]) mkdirSync(path);
  let paths = names.map((name) => join(from, name));
  if (!statSync(from).isDirectory()) {
    const { status, stdout, error } = spawnSync("tar", ["tf", from], { encoding: "utf8", env });
    if (status !== 0) throw new Fault(error ? "tar is not there" : `${from} is no archive that tar reads`);
    const members = stdout.split("\n");
    const found = names.map((name) => members.find((member) => basename(member) === name));
    paths = found.map((member, i) => join(unpacked, member ?? names[i]));
    const wanted = found.filter((member) => member !== undefined);
    if (wanted.length > 0) await run("tar", ["xf", from, "-C", unpacked, "--", ...wanted], fresh);
  }
  for (const [i, name] of names.entries()) {
    if (!existsSync(paths[i])) throw new Fault(`${from} has no ${name}`);
    copyFileSync(paths[i], join(made, name));
  }
  return made;
}

/** Removes the folders of killed builds, which have their process id in their name. */
function removeStale(cache) {
  for (const name of readdirSync(cache)) {
    const pid = /^mesa-intel-build-(\d+)-\w{6}$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

async function main(from) {
  if (process.platform !== "linux") throw new Fault("Mesa's driver of Intel's GPUs is built on Linux only");
  const cache = userCache();
  // Where src/tools/hardware/drivers-node.ts looks for it.
  const folder = join(cache, `mesa-intel-${VERSION}`);
  const isThere = () => names.every((name) => existsSync(join(folder, name)));
  if (isThere() && from === undefined) return folder;
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  removeStale(cache);
  const fresh = mkdtempSync(join(cache, `mesa-intel-build-${process.pid}-`));
  try {
    const made = from === undefined ? await build(fresh) : await unpack(resolve(from), fresh);
    rmSync(folder, { recursive: true, force: true });
    try {
      renameSync(made, folder);
    } catch (error) {
      // Another process was first.
      if (!isThere()) throw error;
    }
    return folder;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function optionsOrExit() {
  try {
    return parseArgs({ options: { from: { type: "string" }, help: { type: "boolean" } } }).values;
  } catch (error) {
    process.stderr.write(`mesa-intel: ${error.message}\n${USAGE}\n`);
    return process.exit(2);
  }
}

const options = optionsOrExit();
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}
let interrupted = null;
for (const [signal, status] of Object.entries({ SIGINT: 130, SIGTERM: 143 }))
  process.on(signal, () => {
    interrupted ??= status;
    stop.abort();
  });
try {
  process.stdout.write(`${await main(options.from)}\n`);
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  process.stderr.write(`mesa-intel: ${error.message}\n`);
  process.exitCode = interrupted ?? 1;
}
