#!/usr/bin/env node
// `node scripts/mesa-intel.mjs`: builds Mesa's driver of Intel's GPUs with Mesa's own stub of the kernel's, by which it
// opens GPUs that are not there, from Debian's source into the user's cache folder. No Debian package has that stub.
// `--from <archive or folder>` takes both libraries from there instead. The system stays as it is.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const VERSION = "25.0.7";
const SOURCE = {
  url: `http://deb.debian.org/debian/pool/main/m/mesa/mesa_${VERSION}.orig.tar.xz`,
  sha256: "592272df3cf01e85e7db300c449df5061092574d099da275d19e97ef0510f8a6",
};
const LIBRARIES = ["src/intel/vulkan/libvulkan_intel.so", "src/intel/tools/libintel_noop_drm_shim.so"];
const names = LIBRARIES.map((path) => path.split("/").at(-1));
/** What building needs, as Debian 13 calls it. */
const PACKAGES =
  "g++ meson ninja-build pkg-config bison flex glslang-tools spirv-tools python3-mako python3-yaml python3-packaging " +
  "libdrm-dev libexpat1-dev zlib1g-dev libzstd-dev libelf-dev libclc-19 libclc-19-dev llvm-19-dev libclang-19-dev " +
  "libclang-cpp19-dev libllvmspirvlib-19-dev";
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

const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "modc");
/** As src/hardware/intel-node.ts looks for it. */
const folder = join(cache, `mesa-intel-${VERSION}`);

class Fault extends Error {}

/** Debian's own programs first: another Python has no Mako. */
const env = { ...process.env, PATH: `/usr/bin:/bin:${process.env["PATH"] ?? ""}` };

function run(command, args, cwd, hint = "") {
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Fault(`${command} ${error ? "is not there" : "failed"}${hint}`);
}

async function build(fresh) {
  const hint = `; building needs, as root: apt-get install -y --no-install-recommends ${PACKAGES}`;
  for (const tool of ["meson", "ninja", "bison", "flex", "glslangValidator", "spirv-as", "llvm-config-19"])
    if (spawnSync(tool, ["--version"], { stdio: "ignore" }).error) throw new Fault(`${tool} is not there${hint}`);
  process.stderr.write(`mesa-intel: fetching ${SOURCE.url}\n`);
  const answer = await fetch(SOURCE.url);
  if (!answer.ok) throw new Fault(`${SOURCE.url}: ${answer.status}`);
  const packed = Buffer.from(await answer.arrayBuffer());
  if (createHash("sha256").update(packed).digest("hex") !== SOURCE.sha256)
    throw new Fault("the source has another hash");
  writeFileSync(join(fresh, "mesa.tar.xz"), packed);
  run("tar", ["xJf", "mesa.tar.xz"], fresh);
  const source = join(fresh, `mesa-${VERSION}`);
  process.stderr.write("mesa-intel: building, some ten minutes of two processors\n");
  run("meson", ["setup", "build", ...OPTIONS], source, hint);
  run("ninja", ["-C", "build", ...LIBRARIES], source);
  const made = join(fresh, "made");
  mkdirSync(made);
  for (const path of LIBRARIES)
    run("strip", ["--strip-unneeded", "-o", join(made, path.split("/").at(-1)), join("build", path)], source);
  return made;
}

function unpack(from, fresh) {
  const made = join(fresh, "made");
  mkdirSync(made);
  if (!existsSync(from)) throw new Fault(`${from} is not there`);
  if (!statSync(from).isDirectory()) run("tar", ["xf", from, "-C", made, ...names], fresh);
  else for (const name of names) copyFileSync(join(from, name), join(made, name));
  return made;
}

const { values } = parseArgs({ options: { from: { type: "string" } } });
const there = names.every((name) => existsSync(join(folder, name)));
if (!there || values.from !== undefined) {
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(join(cache, "mesa-intel-"));
  try {
    const made = values.from === undefined ? await build(fresh) : unpack(resolve(values.from), fresh);
    rmSync(folder, { recursive: true, force: true });
    try {
      renameSync(made, folder);
    } catch {
      cpSync(made, folder, { recursive: true });
    }
  } catch (error) {
    if (!(error instanceof Fault) && !(error instanceof TypeError)) throw error;
    process.stderr.write(`mesa-intel: ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
if (process.exitCode === undefined) process.stdout.write(`${folder}\n`);
