#!/usr/bin/env node
// `npm test`: sets the checkout up, then lint, types and tests. The last line says how many checks passed and failed;
// the status is 0 only if none failed. Tests with the tag `long` are left out; `npm test -- --all` runs them too.
// `npm test -- <words>` runs only the tests that match, long ones included, by the path of their file or, if no path
// has the word, by their name.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages } from "../playground/packages.mjs";
import { setupOrExit } from "./setup.mjs";
import { filterOf, SHORT } from "./test-filter.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

setupOrExit();
try {
  installPackages();
} catch (error) {
  process.stderr.write(`playground: ${error.message}\n`);
  process.exit(1);
}
const bin = (name) => join(root, "node_modules", ".bin", name);
const passes = (title, command, args) => {
  process.stdout.write(`\n${title}\n`);
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (error) process.stdout.write(`${error.message}\n`);
  return status === 0;
};

const filter = filterOf(process.argv.slice(2), root);
if (filter.vitest === null) {
  process.stdout.write(`no test matches ${filter.words.join(" ")}\n\n0 passed, 0 failed\n`);
  process.exit(1);
}
/** Types of a project; of what did not change since the last time, tsc keeps what it found. */
const typed = (title, project) => {
  const kept = join(root, "node_modules", ".cache", "modc", `types-${project === "." ? "root" : project}.tsbuildinfo`);
  return passes(title, bin("tsc"), ["-p", project, "--incremental", "--tsBuildInfoFile", kept]);
};
const wholeProject = () => [
  passes("lint (oxlint)", bin("oxlint"), ["--type-aware", "--deny-warnings"]),
  passes("format (oxfmt)", bin("oxfmt"), ["--check", "."]),
  typed("types (tsc)", "."),
  typed("types of the playground (tsc)", "playground"),
];
const checks = filter.words.length === 0 ? wholeProject() : [];

/**
 * All tests run in three parts, one after the other, each in new processes. A process keeps the devices and layouts of
 * its test files. On Mesa's software device a layout of bindings costs hundreds of memory mappings, and a process may
 * have 65,530: a single run of all files came to 53,000 after three quarters of them.
 */
const PARTS = filter.words.length === 0 && !filter.vitest.includes(SHORT) ? 3 : 1;
const tests = { passed: 0, failed: 0 };
for (let part = 1; part <= PARTS; part++) {
  const report = join(root, "node_modules", ".cache", "modc", `test-report-${part}.json`);
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const title = PARTS === 1 ? "tests (vitest)" : `tests (vitest), part ${part} of ${PARTS}`;
  const green = passes(title, bin("vitest"), [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...(PARTS === 1 ? [] : [`--shard=${part}/${PARTS}`]),
    ...filter.vitest,
  ]);
  const found = readReport(report);
  tests.passed += found.passed;
  // A run that broke off (a file that does not load, a worker that died) is a failure even where no single test is.
  tests.failed += Math.max(found.failed, green ? 0 : 1);
}

const passed = tests.passed + checks.filter((ok) => ok).length;
const failed = tests.failed + checks.filter((ok) => !ok).length;
if (passed + failed === 0) process.stdout.write(`\nno test matches ${filter.words.join(" ")}\n`);
if (filter.vitest.includes(SHORT))
  process.stdout.write("\nLong tests were left out; `npm test -- --all` runs them too.\n");
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

function readReport(report) {
  try {
    const { numPassedTests, numFailedTests, numFailedTestSuites } = JSON.parse(readFileSync(report, "utf8"));
    return { passed: numPassedTests, failed: Math.max(numFailedTests, numFailedTestSuites > 0 ? 1 : 0) };
  } catch {
    return { passed: 0, failed: 1 }; // vitest wrote none: it died
  }
}
