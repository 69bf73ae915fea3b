// Keeps Dawn from writing two warnings that say nothing: `Warning: maxDynamic…BuffersPerPipelineLayout artificially reduced from … to 16`. Linux only, where they come.
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

/** Instructions of dawn.node: where they lie in the file, as they are, and as they should be. */
export interface Patch {
  readonly offset: number;
  readonly before: Buffer;
  readonly after: Buffer;
}

const bytes = (...lines: readonly string[]): Buffer => Buffer.from(lines.join("").replaceAll(" ", ""), "hex");

/**
 * By processor, for the version of the package that package.json names; any other is left as it is.
 *
 * The warnings come from `NormalizeLimits` in dawn/native/Limits.cpp whenever an adapter is looked for and a driver allows more than 16 such buffers, as Mesa's do. No toggle, flag or callback
 * concerns them: they are written to standard error in C++. Node cannot lend file descriptor 2 to another file and get it back where it is a socket, and what a crash writes meanwhile would be
 * lost. So in place of "if the limit is above 16, warn and make it 16" stands "make it at most 16".
 */
export const PATCHES: Readonly<Partial<Record<NodeJS.Architecture, Patch>>> = {
  // cmp eax, 16; ja; mov edx, [rbx + 40]; cmp edx, 16; ja → mov edx, [rbx + 40]; mov ecx, 16; cmp edx, ecx; cmova edx, ecx; nop. After it eax is made at most 16 anyway, but not edx.
  x64: {
    offset: 0x163fea,
    before: bytes("8b4724", "83f810", "0f87ea000000", "8b5328", "83fa10", "0f8762010000", "b910000000"),
    after: bytes("8b4724", "8b5328", "b910000000", "39ca", "0f47d1", "0f1f840000000000", "b910000000"),
  },
  // cmp w0, w20; b.hi; ldr w1, [x19, 40]; cmp w1, 16; b.hi → cmp w0, w20; nop; ldr w1, [x19, 40]; cmp w1, 16; csel w1, w1, w20, ls. w20 is 16; after it w0 is made at most 16 anyway.
  arm64: {
    offset: 0x137140,
    before: bytes("1f00146b", "08050054", "612a40b9", "3f400071", "e8080054", "6086462d"),
    after: bytes("1f00146b", "1f2003d5", "612a40b9", "3f400071", "2190941a", "6086462d"),
  },
};

/** To be called when the package `webgpu` is loaded. Whether the warnings are silent now; false, too, where the system lets no process write to its own code. */
export function silenceDawn(): boolean {
  const patch = PATCHES[process.arch];
  if (process.platform !== "linux" || !patch) return false;
  try {
    const address = addressOf(readFileSync("/proc/self/maps", "utf8"), /\/webgpu\/dist\/[^/]+\/dawn\.node$/, patch.offset);
    return address !== null && replaceAt(address, patch);
  } catch (error) {
    // A hardened kernel, or Node's --permission: then the warnings come, and nothing is wrong.
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return false;
  }
}

/** Where in memory the byte of a file lies that is mapped as code; null where it is not. */
export function addressOf(maps: string, file: RegExp, offset: number): number | null {
  for (const line of maps.split("\n")) {
    const [, from, to, begins, path] = /^([0-9a-f]+)-([0-9a-f]+) r-xp ([0-9a-f]+) \S+ \d+ +(.*)$/.exec(line) ?? [];
    if (path === undefined || !file.test(path)) continue;
    const [start, end, first] = [from!, to!, begins!].map((digits) => Number.parseInt(digits, 16)) as [number, number, number];
    if (offset >= first && offset - first < end - start) return start + (offset - first);
  }
  return null;
}

function replaceAt(address: number, { before, after }: Patch): boolean {
  const memory = openSync("/proc/self/mem", "r+");
  try {
    const found = Buffer.alloc(before.length);
    readSync(memory, found, 0, found.length, address);
    if (found.equals(before)) return writeSync(memory, after, 0, after.length, address) === after.length;
    return found.equals(after);
  } finally {
    closeSync(memory);
  }
}
