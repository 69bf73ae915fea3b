// Unpacks SwiftShader, a software GPU, from an npm package into a cache, for machines without a Vulkan driver. Node
// only.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { homeFolder, temporaryCache } from "../../ground/files/cache-node.js";
import { leftover } from "../../ground/files/leftovers-node.js";

/** The npm package that contains SwiftShader. */
export const SWIFTSHADER_PACKAGE = "@sparticuz/chromium";

const NEEDED = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"] as const;
/** Limit of the unpacked size, far above the real one, so that a wrong file cannot fill the memory. */
const MOST_BYTES = 256 * 1024 * 1024;

/** The paths of an unpacked SwiftShader. */
export interface SwiftShader {
  /** The Vulkan loader. */
  readonly loader: string;
  /** The driver's manifest. */
  readonly manifest: string;
}

/** Finds SwiftShader in a cache or unpacks it; null if this machine cannot run it or the package is not installed. */
export function unpackSwiftShader(): SwiftShader | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const archive = findArchive();
  if (archive === null) return null;
  const packed = readFileSync(archive);
  const name = `swiftshader-${createHash("sha256").update(packed).digest("hex").slice(0, 16)}`;
  let last: unknown = null;
  for (const cache of cacheFolders()) {
    try {
      return located(unpackInto(cache, name, packed));
    } catch (error) {
      // If a cache cannot be written (a read-only installation), the next one is tried.
      if (!isAccessError(error)) throw error;
      last = error;
    }
  }
  throw new Error("no folder to unpack SwiftShader into can be written", { cause: last });
}

const located = (folder: string): SwiftShader => ({
  loader: join(folder, "libvulkan.so.1"),
  manifest: join(folder, "vk_swiftshader_icd.json"),
});

function findArchive(): string | null {
  try {
    // The package's entry point is in `build/` or below, depending on the version.
    let folder = dirname(createRequire(import.meta.url).resolve(SWIFTSHADER_PACKAGE));
    for (
      let parent = dirname(folder);
      parent !== folder && basename(folder) !== "node_modules";
      folder = parent, parent = dirname(folder)
    ) {
      const archive = join(folder, "bin", "swiftshader.tar.br");
      if (existsSync(archive)) return archive;
    }
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}

/** Candidate cache folders: this package's node_modules/.cache, the user's cache, a temporary folder. */
function* cacheFolders(): Generator<string> {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const modules = folder.endsWith("node_modules") ? folder : join(folder, "node_modules");
    if (existsSync(modules)) {
      yield join(modules, ".cache", "modc");
      break;
    }
    const parent = dirname(folder);
    if (parent === folder) break;
    folder = parent;
  }
  const home = homeFolder();
  const cache = process.env["XDG_CACHE_HOME"] || (home && join(home, ".cache"));
  if (cache) yield join(cache, "modc");
  yield temporaryCache();
}

/** Unpacks atomically: into a new folder, which is then renamed. */
function unpackInto(cache: string, name: string, packed: Uint8Array): string {
  const folder = join(cache, name);
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  // No other user may place libraries there.
  const uid = process.getuid?.();
  const owner = statSync(cache).uid;
  if (uid !== undefined && owner !== uid && owner !== 0)
    throw Object.assign(new Error(`${cache} belongs to another user`), { code: "EACCES" });
  if (isComplete(folder)) return folder;
  const entries = untar(brotliDecompressSync(packed, { maxOutputLength: MOST_BYTES }));
  const fresh = join(cache, `${name}-${randomBytes(6).toString("hex")}`);
  const gone = leftover(fresh);
  try {
    mkdirSync(fresh, { mode: 0o700 });
    for (const entry of entries) {
      if (!(NEEDED as readonly string[]).includes(entry.name)) continue;
      writeFileSync(join(fresh, entry.name), entry.data);
      chmodSync(join(fresh, entry.name), entry.executable ? 0o755 : 0o644);
    }
    if (!isComplete(fresh)) throw new Error(`${SWIFTSHADER_PACKAGE} holds no SwiftShader`);
    try {
      if (existsSync(folder) && !isComplete(folder)) rmSync(folder, { recursive: true });
      renameSync(fresh, folder);
    } catch (error) {
      // Another process unpacked it first.
      if (!isComplete(folder)) throw error;
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    gone();
  }
  return folder;
}

const isComplete = (folder: string): boolean => NEEDED.every((file) => existsSync(join(folder, file)));

const isAccessError = (error: unknown): boolean =>
  ["EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR"].includes(String((error as NodeJS.ErrnoException).code));

/** The file name of the Vulkan loader that Dawn looks for. */
export const SYSTEM_LOADER = "libvulkan.so.1";

/** Loads a Vulkan loader into this process, so that Dawn finds it by its name; false if there is none. */
export function loadVulkan(loader: string): boolean {
  // RTLD_NODELETE of glibc: `os.constants.dlopen` does not list it.
  const keepLoaded = 0x1000;
  try {
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_NOW | keepLoaded);
  } catch (error) {
    // The library is not a Node add-on; Node reports that only after it has loaded the library.
    return error instanceof Error && /did not self-register/.test(error.message);
  }
  return true;
}

interface TarEntry {
  /** A plain file name, without folders. */
  readonly name: string;
  readonly executable: boolean;
  readonly data: Uint8Array;
}

const BLOCK = 512;

/**
 * The regular files of an archive. Throws an Error for links, devices, names that are not plain file names, a wrong
 * checksum or a truncated archive. Folders are skipped; extended headers are refused.
 */
export function untar(archive: Uint8Array): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return entries;
    checkSum(header);
    const size = octal(header, 124, 12);
    const type = String.fromCharCode(header[156]!);
    const name = text(header, 0, 100);
    const start = at + BLOCK;
    if (start + size > archive.length) throw new Error(`truncated archive: ${name} ends beyond it`);
    if (type === "0" || type === "\0") {
      if (text(header, 345, 155) !== "" || !/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) || names.has(name))
        throw new Error(`unexpected file name in archive: ${JSON.stringify(name)}`);
      names.add(name);
      entries.push({
        name,
        executable: (octal(header, 100, 8) & 0o100) !== 0,
        data: archive.subarray(start, start + size),
      });
    } else if (type !== "5")
      throw new Error(`unexpected entry of type ${JSON.stringify(type)} in archive: ${JSON.stringify(name)}`);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new Error("truncated archive: no end mark");
}

function checkSum(header: Uint8Array): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  if (sum !== octal(header, 148, 8)) throw new Error("not a tar archive: wrong checksum");
}

const text = (header: Uint8Array, at: number, length: number): string => {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
};

function octal(header: Uint8Array, at: number, length: number): number {
  const digits = text(header, at, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw new Error("not a tar archive: a number is missing in a header");
  return parseInt(digits, 8);
}
