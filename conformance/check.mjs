#!/usr/bin/env node
// Tries an implementation of conditional depth in JavaScript against the vectors of the suite:
//
//   node check.mjs my-layer.mjs [--tolerance 1e-9] [--json]
//
// The module exports one or more of `train(case)`, `generate(case)` and `decode(case)`, which may be asynchronous;
// README.md says what they are given and what they return. Exit status: 0 all that was tried agrees, 4 something
// differs, 1 the module fails, 2 usage.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { layer, SEEN } from "./faults.mjs";
import { cases, FAULTS, LAWS } from "./suite.mjs";

const FUNCTIONS = ["train", "generate", "decode"];
const KEYS = ["y", "chosen", "predictorLoss", "cached"];
const USAGE = "usage: node check.mjs my-layer.mjs [--tolerance 1e-9] [--json]\n";

function fail(message, status) {
  process.stderr.write(`error: ${message}\n${status === 2 ? USAGE : ""}`);
  process.exit(status);
}

let given;
try {
  given = parseArgs({
    allowPositionals: true,
    options: { tolerance: { type: "string", default: "1e-9" }, json: { type: "boolean", default: false } },
  });
} catch (error) {
  fail(error.message, 2);
}
const [file, ...more] = given.positionals;
const tolerance = Number(given.values.tolerance);
if (file === undefined || more.length > 0) fail("one module is tried", 2);
if (!(tolerance > 0)) fail("--tolerance takes a positive number", 2);
const implementation = await import(pathToFileURL(resolve(file)).href).catch((error) => fail(error.stack, 1));
const functions = FUNCTIONS.filter((name) => typeof implementation[name] === "function");
if (functions.length === 0) fail(`${file} exports none of ${FUNCTIONS.join(", ")}`, 2);

/** Whether two nested arrays of one shape are equal, up to the tolerance of the largest value. */
function close(x, expected, most = largest(expected) * tolerance) {
  if (Array.isArray(expected) || ArrayBuffer.isView(expected))
    return x?.length === expected.length && expected.every((value, i) => close(x[i], value, most));
  return Number.isNaN(expected) ? Number.isNaN(x) : Math.abs(x - expected) <= most;
}
function largest(x) {
  if (typeof x === "number") return Number.isNaN(x) ? 1e-3 : Math.max(1e-3, Math.abs(x));
  return x.reduce((most, value) => Math.max(most, largest(value)), 1e-3);
}

/** What a function answers, by names; or what went wrong, as a text. */
async function answered(one, run) {
  try {
    const reply = await run(one);
    const answer = Array.isArray(reply) ? { y: reply } : reply;
    const unknown = Object.keys(answer).find((key) => !KEYS.includes(key));
    if (unknown !== undefined) throw new Error(`${unknown}: an answer has y, and may have ${KEYS.slice(1).join(", ")}`);
    return {
      ...answer,
      // What lies behind the end of a sequence is nobody's.
      y: Array.from(answer.y, (tokens, b) => Array.from(tokens, (x, t) => (t < one.length(b) ? x : x.map(() => 0)))),
    };
  } catch (error) {
    return String(error.stack).split("\n").slice(0, 2).join(" ");
  }
}

const tried = cases().flatMap((one) =>
  functions.filter((f) => one.functions.includes(f)).map((name) => ({ one, name })),
);
const answers = [];
for (const { one, name } of tried) answers.push(await answered(one, implementation[name]));
const findings = tried.map(({ one, name }, i) => {
  const base = { case: one.name, function: name, laws: one.laws };
  if (typeof answers[i] === "string") return { ...base, ok: false, error: answers[i] };
  const compared = KEYS.filter((key) => answers[i][key] !== undefined && key in one.expected);
  const differs = compared.filter((key) => !close(answers[i][key], one.expected[key]));
  return { ...base, ok: differs.length === 0, compared, differs };
});
const bad = findings.filter(({ ok }) => !ok);

/** Whether a layer with these faults answers all that was tried as the implementation did. */
async function explains(some) {
  for (const [i, { one, name }] of tried.entries()) {
    const other = await answered(one, layer(...some)[name]);
    // What one of them gives and the other does not tells nothing.
    if (KEYS.some((key) => answers[i][key] !== undefined && key in other && !close(answers[i][key], other[key])))
      return false;
  }
  return true;
}

/** So many of the list, in each way. */
const combinations = (list, many) =>
  many === 0
    ? [[]]
    : list.flatMap((first, i) => combinations(list.slice(i + 1), many - 1).map((rest) => [first, ...rest]));

/** Faults that explain all answers: one alone, or two together. */
const known = [];
const failed = findings.some(({ error }) => error !== undefined);
if (bad.length > 0 && !failed)
  for (const many of [1, 2]) {
    for (const some of combinations(SEEN, many)) if (await explains(some)) known.push(some);
    if (known.length > 0) break;
  }

const untried = FUNCTIONS.filter((name) => !functions.includes(name));
if (given.values.json) process.stdout.write(`${JSON.stringify({ findings, faults: known, untried }, null, 2)}\n`);
else {
  const say = (line) => process.stdout.write(`${line}\n`);
  for (const { case: name, function: f, ok, compared, differs, error } of findings)
    if (error !== undefined) say(`failed   ${name}, ${f}: ${error}`);
    else say(ok ? `ok       ${name}, ${f}: ${compared.join(", ")}` : `differs  ${name}, ${f}: ${differs.join(", ")}`);
  for (const name of untried) say(`untried  ${name}: the module has no such function`);
  say(
    `${findings.length - bad.length} of ${findings.length} agree${bad.length > 0 ? "; the others try these laws:" : ""}`,
  );
  for (const law of [...new Set(bad.flatMap(({ laws }) => laws))].sort((a, b) => a - b)) say(`  ${law}. ${LAWS[law]}`);
  for (const [i, some] of known.entries()) {
    if (i > 0) say("or");
    for (const fault of some) say(`fault: ${fault}: ${FAULTS[fault]}`);
  }
  if (bad.length > 0 && known.length === 0)
    say("fault: none of those that the suite knows, nor two of them together, explains all cases");
}
process.exitCode = bad.length > 0 ? 4 : 0;
