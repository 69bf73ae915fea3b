#!/usr/bin/env node
// `npm run soak [times]`: the random trials of the tests, many times as long and from new seeds; writes what happened to bench/soak.md.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setupOrExit } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const times = Number(process.argv[2] ?? "20");
if (!(times >= 1)) {
  process.stderr.write("usage: npm run soak [times], times at least 1\n");
  process.exit(2);
}

/** Each trial: the test file, what it does, and how many cases it has in the short run. */
const TRIALS = [
  ["test/end-to-end/random.test.ts", "random programs on the device, against the reference", "120 programs, 3 sizes each"],
  ["test/lower/random.test.ts", "random programs in every phase, against loops over one sequence", "2 × 40 programs"],
  ["test/passes/passes.test.ts", "random graphs before and after each pass, bit for bit", "300 graphs a pass"],
  ["test/schedule/random-products.test.ts", "random graphs around products on the device, four ways each, against the reference", "25 graphs, 3 sizes each"],
  ["test/schedule/memory.test.ts", "random lifetimes: no two live values share memory", "2 × 300 programs"],
  ["test/check/mutations.test.ts", "mutated sources and random words through the checker", "1000 sources"],
  ["test/syntax/mutations.test.ts", "mutated sources and random signs through parser and formatter", "1100 sources"],
  ["test/syntax/recovery.test.ts", "three mistakes in one source, three messages", "1500 triples"],
  ["test/syntax/format.test.ts", "random programs formatted, with lines and comments scattered", "200 programs"],
  ["test/train/checkpoint.test.ts", "a writer of checkpoints killed at random moments: what it leaves is whole", "6 kills"],
  ["test/cli/train.test.ts", "training killed at random moments and resumed: the weights of a run that was not, byte for byte", "2 kills"],
  ["test/train/flat.test.ts", "memory of a training process stays flat", "500 steps"],
  ["test/program/serialize.test.ts", "damaged compiled programs are refused or unchanged", "2000 programs"],
];

setupOrExit();
const seed = Date.now() % 1_000_000_007;
const report = join(root, "node_modules", ".cache", "modc", "soak-report.json");
mkdirSync(dirname(report), { recursive: true });
const rows = [];
let failures = 0;
for (const [file, what, short] of TRIALS) {
  process.stderr.write(`soak: ${what}\n`);
  rmSync(report, { force: true });
  const began = Date.now();
  const args = ["run", file, "--reporter=json", `--outputFile.json=${report}`, `--testTimeout=${60_000 * times}`];
  const { status } = spawnSync(join(root, "node_modules", ".bin", "vitest"), args, {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, SOAK: String(times), SOAK_SEED: String(seed) },
    shell: process.platform === "win32",
  });
  const seconds = Math.round((Date.now() - began) / 1000);
  let result = "the run broke off";
  if (status === 0 || status === 1) {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
    result = `${numPassedTests} passed, ${numFailedTests} failed`;
  }
  if (status !== 0) failures++;
  rows.push(`| ${what} | ${short} × ${times} | ${result} | ${seconds} s |`);
}
const text = `# Soak

The random trials of \`npm test\`, ${times} times as long and from new seeds: \`npm run soak ${times}\` on ${new Date().toISOString().slice(0, 10)},
Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? "processor"}, seed offset ${seed} (\`SOAK=${times} SOAK_SEED=${seed} npx vitest run <file>\` repeats it).

| trial | cases | result | time |
|---|---|---|---|
${rows.join("\n")}
`;
mkdirSync(join(root, "bench"), { recursive: true });
writeFileSync(join(root, "bench", "soak.md"), text);
process.stdout.write(`\n${text}`);
process.exitCode = failures === 0 ? 0 : 1;
