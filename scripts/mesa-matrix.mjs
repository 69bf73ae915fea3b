#!/usr/bin/env node
// `node scripts/mesa-matrix.mjs`: unpacks Mesa 26.1 into the user's cache folder. Its software device has matrix units,
// which the system's Mesa lacks, so that kernels for matrix units run without a GPU. The system is unchanged: apt uses
// separate lists and a separate state folder, and installs nothing.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** What is unpacked: the driver, and the one library that it needs and the system's Mesa does not. */
const PACKAGES = [
  {
    name: "mesa-vulkan-drivers",
    version: "26.1.6-1~bpo13+1",
    sha256: "e2d4a843b8c55ed17c1e8856805f67b553b013b6ce5f15faeec4db7d4d38ff90",
  },
  {
    name: "libdisplay-info2",
    version: "0.2.0-2",
    sha256: "961924d484d4c14b6decb76cf0e860a1e7b6c89bfc85e527d873a89faf24b846",
  },
];
const SUITES = ["trixie-backports", "trixie"];
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.pgp";
const LIBRARIES = join("usr", "lib", "x86_64-linux-gnu");

const cache = join(process.env["XDG_CACHE_HOME"] || join(home(), ".cache"), "modc");
const folder = join(cache, "mesa-26.1.6");
const found = () => ({
  manifest: join(folder, "lvp_icd.json"),
  libraries: [join(folder, LIBRARIES, "libdisplay-info.so.2")],
});

/** Of a user without one, `homedir` throws. */
function home() {
  try {
    return homedir();
  } catch {
    return tmpdir();
  }
}

/** The driver, or in one sentence why it cannot be had. What is unpacked already is not fetched again. */
export function mesaWithMatrices() {
  if (existsSync(found().manifest)) return { driver: found(), missing: null };
  const without = (why) => ({ driver: null, missing: `Mesa 26.1 cannot be had here: ${why}.` });
  if (process.platform !== "linux" || process.arch !== "x64") return without("it is fetched for Linux x64 only");
  if (!existsSync(KEYRING)) return without("this is no Debian with its keyring");
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(`${folder}-`);
  try {
    const fault = unpackInto(fresh);
    if (fault !== null) return without(fault);
    try {
      renameSync(fresh, folder);
    } catch (error) {
      // Another process unpacked it first.
      if (!existsSync(found().manifest)) throw error;
    }
    return { driver: found(), missing: null };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Null, or what went wrong. */
function unpackInto(fresh) {
  const apt = join(fresh, "apt");
  mkdirSync(join(apt, "state", "lists", "partial"), { recursive: true });
  mkdirSync(join(apt, "cache", "archives", "partial"), { recursive: true });
  const source = (suite) => `deb [arch=amd64 signed-by=${KEYRING}] http://deb.debian.org/debian ${suite} main\n`;
  writeFileSync(join(apt, "sources.list"), SUITES.map(source).join(""));
  const settings = {
    "Dir::Etc::sourcelist": join(apt, "sources.list"),
    "Dir::Etc::sourceparts": "-",
    "Dir::State": join(apt, "state"),
    "Dir::Cache": join(apt, "cache"),
    "APT::Sandbox::User": "",
    "Acquire::http::Timeout": "5",
    "Acquire::Languages": "none",
    "Acquire::Retries": "0",
  };
  writeFileSync(
    join(apt, "apt.conf"),
    Object.entries(settings)
      .map(([name, value]) => `${name} "${value}";\n`)
      .join(""),
  );
  const does = (command, ...args) =>
    spawnSync(command, args, {
      cwd: apt,
      env: { ...process.env, APT_CONFIG: join(apt, "apt.conf") },
      stdio: "ignore",
      timeout: 60_000,
    }).status === 0;
  if (!does("apt-get", "update")) return "apt-get reaches no deb.debian.org";
  if (!does("apt-get", "download", ...PACKAGES.map((p) => `${p.name}=${p.version}`)))
    return `deb.debian.org has no mesa-vulkan-drivers ${PACKAGES[0].version} any more`;
  for (const { name, version, sha256 } of PACKAGES) {
    const file = join(apt, `${name}_${version}_amd64.deb`);
    if (!existsSync(file)) return `apt-get left no ${name}`;
    if (createHash("sha256").update(readFileSync(file)).digest("hex") !== sha256) return `${name} has another hash`;
    if (!does("dpkg-deb", "-x", file, fresh)) return `dpkg-deb does not unpack ${name}`;
  }
  rmSync(apt, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(fresh, "usr", "share", "vulkan", "icd.d", "lvp_icd.json"), "utf8"));
  manifest.ICD.library_path = join(folder, LIBRARIES, "libvulkan_lvp.so");
  writeFileSync(join(fresh, "lvp_icd.json"), JSON.stringify(manifest));
  return null;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { driver, missing } = mesaWithMatrices();
  process.stdout.write(driver ? `${driver.manifest}\n` : `${missing}\n`);
  process.exitCode = driver ? 0 : 1;
}
