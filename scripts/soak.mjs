#!/usr/bin/env node
// `npm run soak [section …] [times]`: the random trials of the tests, many times as long and from new seeds; writes
// what happened to bench/soak.md.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setupOrExit } from "./setup.mjs";
import { sectionText, withSections } from "./soak-report.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * By section, each trial: the test file or files, what it does, and its cases for each time. `only` is a pattern of
 * names where the file has other tests too, and `share` what part of the times it takes, where a case takes long.
 * `once`: the cases are what they are, and the short run leaves out or shortens some.
 */
const SECTIONS = {
  programs: [
    {
      file: "test/end-to-end/random.test.ts",
      what: "random programs on the device, against the reference",
      short: 120,
      unit: "programs, 3 sizes each",
    },
    {
      file: "test/end-to-end/examples.test.ts",
      once: true,
      what: "examples on both devices, llama at its full width",
      short: 45,
      unit: "inputs",
    },
    {
      file: "test/compiler/lower/random.test.ts",
      what: "random programs in every phase, against loops over one sequence",
      short: 80,
      unit: "programs",
    },
    {
      file: "test/compiler/passes/passes.test.ts",
      what: "random graphs before and after each pass, bit for bit",
      short: 300,
      unit: "graphs a pass",
    },
    {
      file: "test/compiler/schedule/random-products.test.ts",
      what: "random graphs around products on the device, four ways each, against the reference",
      short: 25,
      unit: "graphs, 3 sizes each",
    },
    {
      file: "test/compiler/schedule/split.test.ts",
      only: "random models under limits",
      what: "random models in parts, under limits that almost every weight exceeds",
      short: 25,
      unit: "models",
    },
    {
      file: "test/compiler/schedule/memory.test.ts",
      what: "random lifetimes: no two live values share memory",
      short: 600,
      unit: "programs",
    },
    {
      file: "test/runtime/program/serialize.test.ts",
      what: "damaged compiled programs are refused or unchanged",
      short: 2000,
      unit: "programs",
    },
  ],
  language: [
    {
      file: "test/language/check/mutations.test.ts",
      what: "mutated sources and random words through the checker",
      short: 1000,
      unit: "sources",
    },
    {
      file: "test/language/syntax/mutations.test.ts",
      what: "mutated sources and random signs through parser and formatter",
      short: 1100,
      unit: "sources",
    },
    {
      file: "test/language/check-tensor/random.test.ts",
      share: 0.5,
      what: "random expressions through the checker, run where accepted, and held to the causal rule",
      short: 5500,
      unit: "expressions",
    },
    {
      file: "test/language/syntax/recovery.test.ts",
      what: "three mistakes in one source, three messages",
      short: 1500,
      unit: "triples",
    },
    {
      file: "test/tools/lsp/soak.test.ts",
      what: "random edits through the language server, its diagnostics held to those of the text",
      short: 6,
      unit: "texts, 20 edits each",
    },
    {
      file: "test/language/syntax/format.test.ts",
      what: "random programs formatted, with lines and comments scattered",
      short: 200,
      unit: "programs",
    },
  ],
  endings: [
    {
      file: "test/tools/cli/interrupts.test.ts",
      share: 3,
      what: "commands interrupted, or left by their reader, at random moments on both software devices: none crashes",
      short: 10,
      unit: "processes",
    },
  ],
  devices: [
    {
      file: [
        "swiftshader",
        "products",
        "tunings",
        "attention-grad-tiles",
        "attention-tiles",
        "attention-views",
        "attention-query",
        "attention-wide",
        "row-products",
        "own-sums",
        "value-products",
        "top",
        "unseen",
        "row-sums",
        "sampling",
        "reductions",
      ].map((name) => `test/kernels/${name}.test.ts`),
      once: true,
      what: "kernels on both devices: every sample, shape, setting and tuning",
      short: 16,
      unit: "files of tests",
    },
    {
      file: [
        "generate/device",
        "generate/loop-caches",
        "schedule/caches",
        "schedule/routed-sums",
        "train/diverge",
        "train/threshold",
      ].map((name) => `test/${name}.test.ts`),
      once: true,
      what: "whole models of which no kernel is spared, and programs for any device as they are",
      short: 6,
      unit: "files of tests",
    },
    {
      file: ["test/end-to-end/targets.test.ts", "test/tools/train/trainer.test.ts"],
      once: true,
      what: "programs for every class of device, with subgroups and without, and steps of training, on both devices",
      short: 8,
      unit: "programs",
    },
    {
      file: ["test/end-to-end/digests.test.ts", "test/tools/train/programs.test.ts"],
      once: true,
      what:
        "training's programs for every class of device, in one batch and in micro-batches, and hashes of all " +
        "programs",
      short: 460,
      unit: "programs",
    },
    {
      file: "test/compiler/ops/gradients.test.ts",
      once: true,
      what: "gradients of large inputs against differences, element by element",
      short: 49,
      unit: "operators",
    },
    {
      file: [
        "test/language/syntax/limits.test.ts",
        "test/models/tokenizer/tokenizer.test.ts",
        "test/end-to-end/f16.test.ts",
        "test/generation/generate/recovery.test.ts",
      ],
      once: true,
      what:
        "runaway sources, a megabyte of tokens, examples in f16 at their full width, and " +
        "devices that are lost at more moments",
      short: 68,
      unit: "tests",
    },
  ],
  hardware: [
    {
      file: "test/bench/hardware.test.ts",
      once: true,
      optional: true,
      what:
        "kernels of all cases by the compilers of eight GPUs that are not there: nothing spills but what is listed, " +
        "and estimates",
      short: 21,
      unit: "tests",
    },
  ],
  training: [
    {
      file: "test/tools/train/checkpoint.test.ts",
      only: "kill -9|where the disk refuses",
      what:
        "a writer of checkpoints killed at random moments, or refused by the disk at every moment: what it leaves " +
        "is whole",
      short: 6,
      unit: "kills",
    },
    {
      file: "test/tools/cli/train.test.ts",
      only: "kill -9",
      share: 0.5,
      what: "training killed at random moments and resumed: the weights of a run that was not, byte for byte",
      short: 2,
      unit: "kills",
    },
    {
      file: "test/tools/train/lock.test.ts",
      only: "exactly one",
      what: "races of four processes for a run's folder, with and without a lock of a dead one: exactly one gets it",
      short: 50,
      unit: "races",
    },
    {
      file: "test/tools/train/flat.test.ts",
      what: "memory of a training process stays flat",
      short: 500,
      unit: "steps of a tiny model",
    },
  ],
  generation: [
    {
      file: "test/generation/generate/flat.test.ts",
      what: "tokens make no buffer and leave no memory behind",
      short: 250,
      unit: "tokens, of a dense and of a routed model",
    },
  ],
  serve: [
    {
      file: "test/tools/serve/fuzz.test.ts",
      what: "any JSON over the wire: a text, or an error that says what is wrong",
      short: 700,
      unit: "requests",
    },
    {
      file: "test/tools/serve/batched.test.ts",
      only: "requests that come at any moment",
      what: "streams at random moments, some of them cancelled, against each alone",
      short: 60,
      unit: "requests",
      share: 0.25,
    },
    {
      file: "test/tools/serve/sockets.test.ts",
      once: true,
      what: "clients that are silent, slow, greedy or gone; 5,000 idle connections",
      short: 9,
      unit: "kinds",
    },
    {
      file: "test/tools/serve/nginx.test.ts",
      what: "streams behind nginx while one of two servers ends",
      short: 200,
      unit: "streams",
      share: 0.25,
    },
    {
      file: "test/tools/serve/lost.test.ts",
      once: true,
      what: "a device lost ten times under streams: each goes on to the same text",
      short: 10,
      unit: "losses",
    },
    {
      file: "test/tools/serve/killed.test.ts",
      once: true,
      what: "servers behind nginx killed under load and started again: what begins afterwards is answered",
      short: 10,
      unit: "kills",
    },
    {
      file: "test/tools/serve/long.test.ts",
      what: "sixteen streams for long: all answered, and no more memory once it is warm",
      short: 1,
      unit: "minutes",
    },
  ],
  docs: [
    {
      file: "test/docs/samples.test.ts",
      once: true,
      what: "the commands and programs of README, docs and examples, each as it is written",
      short: 12,
      unit: "blocks of commands, and 8 programs",
    },
  ],
};

const usage = (fault) => {
  process.stderr.write(
    `error: ${fault}\nusage: npm run soak -- [section …] [times]; sections are ` +
      `${Object.keys(SECTIONS).join(", ")}; times at least 2\n`,
  );
  process.exit(2);
};
const given = process.argv.slice(2);
const numbers = given.filter((word) => /^[\d.+-]/.test(word));
const names = given.filter((word) => !numbers.includes(word));
const times = Number(numbers[0] ?? "20");
if (numbers.length > 1 || !(Number.isInteger(times) && times >= 2)) usage(`${numbers.join(" ")} is no number of times`);
for (const name of names) if (!Object.hasOwn(SECTIONS, name)) usage(`there is no section ${JSON.stringify(name)}`);
const chosen = Object.keys(SECTIONS).filter((name) => names.length === 0 || names.includes(name));

setupOrExit();
const seed = Date.now() % 1_000_000_007;
const path = join(root, "bench", "soak.md");
const results = join(root, "node_modules", ".cache", "modc", "soak-report.json");
mkdirSync(dirname(results), { recursive: true });
let failures = 0;
for (const name of chosen) {
  const rows = SECTIONS[name].map(run);
  if (rows.every(({ skipped }) => skipped)) {
    process.stderr.write(`soak: ${name} is skipped, and ${path} keeps its last result\n`);
    continue;
  }
  const text = sectionText({
    date: new Date().toISOString().slice(0, 10),
    command: `npm run soak -- ${name} ${times}`,
    node: process.versions.node,
    processor: `${cpus().length} × ${cpus()[0]?.model ?? "processor"}`,
    seed,
    rows,
  });
  // Writes each section when it is done, so that an interrupt loses only the running one.
  const report = withSections(
    existsSync(path) ? readFileSync(path, "utf8") : "",
    new Map([[name, text]]),
    Object.keys(SECTIONS),
  );
  writeFileSync(`${path}.tmp`, report);
  renameSync(`${path}.tmp`, path);
  process.stdout.write(`\n## ${name}\n\n${text}\n`);
}
process.exitCode = failures === 0 ? 0 : 1;

function run({ file, only, once = false, optional = false, share = 1, what, short, unit }) {
  const soak = once ? 1 : Math.round(times * share);
  process.stderr.write(`soak: ${what}\n`);
  rmSync(results, { force: true });
  const began = Date.now();
  const args = [
    "run",
    ...[file].flat(),
    "--reporter=json",
    `--outputFile.json=${results}`,
    `--testTimeout=${60_000 * Math.max(5, soak)}`,
    ...(only ? ["-t", only] : []),
  ];
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", "vitest", "vitest.mjs"), ...args], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, SOAK: String(soak), SOAK_SEED: String(seed) },
  });
  const seconds = Math.round((Date.now() - began) / 1000);
  const {
    numPassedTests = 0,
    numFailedTests = 0,
    numPendingTests = 0,
  } = existsSync(results) ? JSON.parse(readFileSync(results, "utf8")) : {};
  const whole = (status === 0 || status === 1) && numPassedTests + numFailedTests > 0;
  // Where a driver is missing, which the test has said.
  const skipped = optional && status === 0 && !whole && numPendingTests > 0;
  if (status !== 0 || !(whole || skipped)) failures++;
  return {
    what,
    cases: `${short * soak} ${unit}`,
    result: whole ? `${numPassedTests} passed, ${numFailedTests} failed` : "the run broke off",
    seconds,
    skipped,
  };
}
