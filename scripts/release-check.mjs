#!/usr/bin/env node
// `node scripts/release-check.mjs v1.2.3`: whether this checkout can be published as that version. Prints what is wrong
// and exits with 1, or prints what the tarball has.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "..", "..");
/** The most bytes that the tarball may have. */
const MOST_BYTES = 8_000_000;
/** Files that every user needs, and files that no user needs. */
const NEEDED = [
  "package.json",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
  "dist/lib/index.js",
  "dist/src/compiler/index.d.ts",
  "dist/src/cli/main.js",
];
const UNWANTED = /^(?:test|bench|scripts|playground|\.)|\.map$|\.test\./;

/**
 * The reasons against publishing as `version`, one sentence each: `manifest` is package.json, `citation` and
 * `changelog` are texts, `packed` is the report of `npm pack --json` about the tarball.
 */
export function faultsOf({ version, manifest, citation, changelog, packed }) {
  const faults = [];
  if (!/^\d+\.\d+\.\d+(?:-[a-z]+\.\d+)?$/.test(version)) faults.push(`${version} is no version`);
  if (manifest.version !== version) faults.push(`package.json has the version ${manifest.version}`);
  const cited = /^version: (.+)$/m.exec(citation)?.[1];
  if (cited !== version) faults.push(`CITATION.cff has the version ${cited}`);
  if (manifest.private) faults.push("package.json says that the package is private");
  if (!manifest.repository)
    faults.push("package.json names no repository, which npm's provenance statement is held against");
  const dated = changelog.split("\n").some((line) => /^## (\S+), \d{4}-\d\d-\d\d$/.exec(line)?.[1] === version);
  if (!dated) faults.push(`CHANGELOG.md has no "## ${version}, <date>"`);
  const paths = new Set(packed.files.map(({ path }) => path));
  for (const path of NEEDED) if (!paths.has(path)) faults.push(`the tarball lacks ${path}`);
  for (const path of paths) if (UNWANTED.test(path)) faults.push(`the tarball has ${path}`);
  if (packed.size > MOST_BYTES) faults.push(`the tarball has ${packed.size} bytes; ${MOST_BYTES} are the most`);
  return faults;
}

/** What `npm pack` would write. */
export function packedOf(folder) {
  const { status, stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--ignore-scripts", "--json"], {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error(`npm pack: ${stderr}`);
  return JSON.parse(stdout)[0];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [tag, ...more] = process.argv.slice(2);
  if (!tag?.startsWith("v") || more.length > 0) {
    process.stderr.write("usage: node scripts/release-check.mjs v1.2.3\n");
    process.exit(2);
  }
  const text = (name) => readFileSync(join(root, name), "utf8");
  const packed = packedOf(root);
  const faults = faultsOf({
    version: tag.slice(1),
    manifest: JSON.parse(text("package.json")),
    citation: text("CITATION.cff"),
    changelog: text("CHANGELOG.md"),
    packed,
  });
  for (const fault of faults) process.stderr.write(`error: ${fault}\n`);
  if (faults.length === 0) process.stdout.write(`${packed.files.length} files, ${packed.size} bytes\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
