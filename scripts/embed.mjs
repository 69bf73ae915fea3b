// Writes src/ground/embedded.ts: the standard library, the kernels and what exported folders share as text, so that the
// compiler reads no files and runs in a page.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const table = (folder, extension, change = (text) => text) =>
  readdirSync(join(root, folder))
    .filter((f) => f.endsWith(extension))
    .sort()
    .map((f) => `  ${JSON.stringify(f)}: ${JSON.stringify(change(readFileSync(join(root, folder, f), "utf8")))},\n`)
    .join("");

/** A kernel without the region that the compiler writes itself: a third of all text. */
const withoutRegion = (text) => text.replace(/(?<=^\/\/ --- parameters\n)[^]*?(?=^\/\/ --- end of parameters$)/m, "");

/** A kernel's code without comments, the region and spaces: measured tunings stay valid if only these change. */
export const kernelCode = (text) =>
  withoutRegion(text)
    .replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "")
    .replace(/\s+/g, " ");

/** The first 16 hexadecimal digits of SHA-256. */
const digest = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Writes the file only if its content changes, so that builds stay quick. */
export function embed() {
  const kernels = table("kernels", ".wgsl", withoutRegion);
  const text =
    `// Made by scripts/embed.mjs from src/language/std/*.mod, kernels/*.wgsl, python/**/*.py and ` +
    `src/tools/hardware/*.c; do not edit.\n` +
    `export const stdFiles: Readonly<Record<string, string>> = {\n${table("src/language/std", ".mod")}};\n` +
    `export const kernelFiles: Readonly<Record<string, string>> = {\n${kernels}};\n` +
    `export const pythonFiles: Readonly<Record<string, string>> = {\n${table("python/pytorch", ".py")}};\n` +
    `export const huggingFaceFiles: Readonly<Record<string, string>> = ` +
    `{\n${table("python/huggingface", ".py")}};\n` +
    `export const layerFiles: Readonly<Record<string, string>> = {\n${table("src/tools/hardware", ".c")}};\n` +
    `export const kernelsDigest = ${JSON.stringify(digest(table("kernels", ".wgsl", kernelCode)))};\n`;
  const path = join(root, "src", "ground", "embedded.ts");
  let old = "";
  try {
    old = readFileSync(path, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  if (old !== text) writeFileSync(path, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) embed();
