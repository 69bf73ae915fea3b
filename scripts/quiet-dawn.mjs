// Keeps Dawn from printing two warnings that say nothing, `Warning: maxDynamic…BuffersPerPipelineLayout artificially
// reduced from … to 16`, by a patch of the package in node_modules.
//
// They come from `NormalizeLimits` (dawn/native/Limits.cpp) whenever an adapter is looked for whose driver allows more
// than 16 such buffers, as Mesa's and SwiftShader's do. No toggle, flag or callback concerns them: they are written to
// standard error in C++. Nor can a process of Node filter them: it can duplicate no descriptor, so where standard error
// is a socket or a file that standard output shares, it could not be put back. So in this checkout "if the limit is
// above 16, warn and make it 16" is replaced by "make it at most 16", on disk, once, when the checkout is set up.
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

const bytes = (...instructions) => Buffer.from(instructions.join("").replaceAll(" ", ""), "hex");

/**
 * By processor, for the version of the package that package.json names: where in dawn.node, what is there, and what
 * should be.
 */
export const PATCHES = {
  // cmp eax, 16; ja; mov edx, [rbx + 40]; cmp edx, 16; ja → mov edx, [rbx + 40]; mov ecx, 16; cmp edx, ecx; cmova edx,
  // ecx; nop. What follows makes eax at most 16 anyway, but not edx.
  x64: {
    offset: 0x163fea,
    before: bytes("8b4724", "83f810", "0f87ea000000", "8b5328", "83fa10", "0f8762010000", "b910000000"),
    after: bytes("8b4724", "8b5328", "b910000000", "39ca", "0f47d1", "0f1f840000000000", "b910000000"),
  },
  // cmp w0, w20; b.hi; ldr w1, [x19, 40]; cmp w1, 16; b.hi → cmp w0, w20; nop; ldr w1, [x19, 40]; cmp w1, 16; csel w1,
  // w1, w20, ls. w20 is 16, and what follows makes w0 at most 16 anyway.
  arm64: {
    offset: 0x137140,
    before: bytes("1f00146b", "08050054", "612a40b9", "3f400071", "e8080054", "6086462d"),
    after: bytes("1f00146b", "1f2003d5", "612a40b9", "3f400071", "2190941a", "6086462d"),
  },
};

/** The file that is patched; null on systems where the warnings do not come. */
export const dawnFile = (root, { platform, arch } = process) =>
  platform === "linux" && Object.hasOwn(PATCHES, arch)
    ? join(root, "node_modules", "webgpu", "dist", `linux-${arch}`, "dawn.node")
    : null;

/**
 * Patches a file of Dawn's, unless its bytes are not those expected: then it is of another version, and is left alone.
 * Returns whether the warnings are gone. A process that has the file open keeps the old one: the patched copy takes its
 * place by renaming.
 */
export function quietDawn(file, { offset, before, after }) {
  const found = bytesAt(file, offset, before.length);
  if (found === null || found.equals(after)) return found !== null;
  if (!found.equals(before)) return false;
  const copy = `${file}.${process.pid}`;
  try {
    copyFileSync(file, copy);
    const target = openSync(copy, "r+");
    try {
      writeSync(target, after, 0, after.length, offset);
    } finally {
      closeSync(target);
    }
    chmodSync(copy, statSync(file).mode);
    renameSync(copy, file);
    return true;
  } catch (error) {
    // The warnings come where node_modules cannot be written; nothing else depends on it.
    if (!["EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT"].includes(error.code)) throw error;
    return false;
  } finally {
    rmSync(copy, { force: true });
  }
}

/** Null where there is no such file, or it ends before. */
function bytesAt(file, offset, length) {
  let source;
  try {
    source = openSync(file, "r");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
  try {
    const found = Buffer.alloc(length);
    return readSync(source, found, 0, length, offset) === length ? found : null;
  } finally {
    closeSync(source);
  }
}
