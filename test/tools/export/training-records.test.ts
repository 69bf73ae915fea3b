// Exported folders that train on records: three steps of train.py have the losses of `modc train` from the same weights
// and records, for every example of an objective. Skipped, and saying so, where Python has no torch.
// @module-tag long
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "../cli/in-process.js";
import { python, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";

const root = mkdtempSync(join(tmpdir(), "modc-export-records-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const SIZES = ["dim=32", "heads=2", "depth=2"].flatMap((size) => ["--set", size]);
const SETTINGS = "--batch 4 --length 64 --windows 4 --warmup 0 --seed 1 --lr 3e-3 --schedule constant".split(" ");

const rng = random(7);
const between = (from: number, to: number): number => from + rng.below(to - from);
const tokens = (length: number): number[] => Array.from({ length }, () => between(1, 256));
const WORDS = "the whale sea ship calls me Ishmael über white café red blue".split(" ");
const words = (from: number, to: number): string =>
  Array.from({ length: between(from, to) }, () => WORDS[rng.below(WORDS.length)]).join(" ");
const file = (name: string, text: string): string => {
  writeFileSync(join(root, name), text);
  return join(root, name);
};
const rows = (name: string, one: (i: number) => object): string =>
  file(`${name}.jsonl`, Array.from({ length: 24 }, (_, i) => `${JSON.stringify(one(i))}\n`).join(""));
const example = (path: string): string => new URL(`../../../examples/${path}`, import.meta.url).pathname;

/** Rows with an advantage, and the log-probability of each token or of each target. */
const rewarded = rows("rewarded", (i) => {
  const own = tokens(between(6, 40));
  const begin = between(2, own.length - 2);
  const targets = own.map((_, at) => (at < begin ? -1 : (own[at + 1] ?? -1)));
  const old = Array.from({ length: i % 2 === 0 ? own.length : own.length - begin - 1 }, () => -5 + 0.3 * rng.normal());
  return { tokens: own, targets, old, advantage: rng.normal() };
});
const hidden = rows("hidden", () => {
  const own = tokens(between(6, 50));
  const shown = own.map((token) => (rng.below(5) === 0 ? 256 : token));
  return { tokens: shown, targets: own.map((token) => (rng.below(3) === 0 ? token : -1)).with(0, own[0]!) };
});
const completions = rows("completions", () => ({ prompt: `${words(1, 6)} `, completion: words(1, 8) }));
const chats = rows("chats", (i) => ({
  messages: [
    ...(i % 2 === 0 ? [] : [{ role: "system", content: words(2, 3) }]),
    ...Array.from({ length: 2 + 2 * (i % 2) }, (_, turn) => ({
      role: turn % 2 === 0 ? "user" : "assistant",
      content: words(1, 4),
    })),
  ],
}));
const template = file(
  "plain.jinja",
  "{%- for m in messages %}\n<{{ m.role }}>{{ m.content }}</{{ m.role }}>\n{% endfor %}" +
    "{% if add_generation_prompt %}<assistant>{% endif %}\n",
);
const marking = file(
  "marking.jinja",
  '{% for m in messages %}\n{% if m.role == "assistant" %}\n<a>{% generation %}{{ m.content }}</a>' +
    "{% endgeneration %}\n\n{% else %}\n<{{ m.role }}>{{ m.content }}\n{% endif %}\n{% endfor %}\n" +
    "{% if add_generation_prompt %}<a>{% endif %}\n",
);
const moby = file(
  "moby.mod",
  readFileSync(example("moby.mod"), "utf8")
    .replaceAll("targets: u32", "targets: i32")
    .replace("capacity: ratio", "live capacity: ratio"),
);
const preferences = example("objectives/preferences.jsonl");

const ON_CPU = new URL("torch/on_cpu.py", import.meta.url).pathname;

interface Case {
  readonly name: string;
  /** Processes that train; default: one. */
  readonly ranks?: number;
  readonly model?: string;
  readonly data: string;
  readonly words?: string;
  /** The name of the test. Default: the name of the example. */
  readonly called?: string;
  /** Between losses and their norms, relative. Both compute in f32. */
  readonly tolerance?: number;
}

const CASES: readonly Case[] = [
  { name: "dpo", data: preferences },
  { name: "reward", data: preferences },
  { name: "embed", data: example("objectives/pairs.jsonl") },
  { name: "classify", data: example("objectives/messages.jsonl"), words: "--labels labels=ham,spam" },
  { name: "grpo", data: rewarded },
  { name: "masked", data: hidden },
  { name: "dpo", called: "dpo on two ranks", data: preferences, ranks: 2, words: "--validation 0.25" },
  { name: "grpo", called: "grpo on two ranks", data: rewarded, ranks: 2, words: "--validation 0.25" },
  { name: "distill", data: completions, words: "--only student --ema 0.5" },
  {
    name: "packed chats",
    model: moby,
    data: chats,
    words: `--chat-template ${template} --pack --live-schedule capacity=50%@0,25%@3 --router-lr 1e-3`,
  },
  {
    name: "chats of a template that marks answers, in bf16",
    model: moby,
    data: chats,
    words: `--chat-template ${marking} --precision bf16`,
    tolerance: 3e-3, // PyTorch rounds results of products too
  },
];

interface Step {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly losses: Readonly<Record<string, number>>;
  readonly tokens: number;
  readonly bitsPerByte: number | null;
}

/** The steps of a run, and the losses of its last validation by rule. */
function logOf(folder: string): { readonly steps: readonly Step[]; readonly rules: Readonly<Record<string, number>> } {
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trim().split("\n");
  const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>); // a line each
  const validation = entries.findLast(({ kind }) => kind === "validation")!;
  const rules = Object.entries(validation["rules"] as Record<string, { loss: number }>); // modc's own form
  return {
    steps: entries.filter(({ kind }) => kind === "step") as unknown as readonly Step[], // likewise
    rules: Object.fromEntries(rules.map(([rule, { loss }]) => [rule, loss])),
  };
}

async function modc(...args: readonly string[]): Promise<void> {
  const { status, stderr } = await run(args);
  expect(status, stderr).toBe(0);
}

/** How a script ends, and its last words. */
function ran(args: readonly string[]): Promise<readonly [number | null, string]> {
  return new Promise((resolve) => {
    const child = spawn(python!, ["-W", "ignore", ...args], { cwd: root });
    let said = "";
    child.stderr.on("data", (text: Buffer) => (said += text.toString()));
    child.on("close", (status) => resolve([status, said.trim().split("\n").at(-1)!]));
  });
}

const trained = (folder: string, output: string, ...args: readonly string[]): Promise<void> =>
  trainedOn(1, folder, output, ...args);

/** Trains with this number of processes, which gloo connects. */
async function trainedOn(ranks: number, folder: string, output: string, ...args: readonly string[]): Promise<void> {
  const script = [join(folder, "train.py"), "--device", "cpu", "--output", output, ...args];
  const [status, said] = await ran(ranks === 1 ? script : [ON_CPU, String(ranks), ...script]);
  expect(status, said).toBe(0);
}

/** Weights of a seed, and the folder that trains from them. */
async function exportedFrom(
  model: string,
  name: string,
): Promise<{ readonly weights: string; readonly folder: string }> {
  const [weights, folder] = [join(root, `${name}.safetensors`), join(root, `${name}-torch`)];
  await modc("init", model, ...SIZES, "-o", weights, "--seed", "5");
  await modc("export", model, ...SIZES, "--weights", weights, "--to", "torch", "-o", folder);
  return { weights, folder };
}

const near = (a: number, b: number, tolerance: number, what: string): void =>
  expect(Math.abs(a - b) / Math.max(1, Math.abs(b)), `${what}: ${a}, ${b}`).toBeLessThan(tolerance);

describe.skipIf(python === undefined)(`records in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  it.each(CASES.map((own) => ({ called: own.name, ...own })))(
    "$called: three steps have the losses of modc train",
    async ({ name, called, model, data, words: more, tolerance = 1e-5, ranks = 1 }) => {
      const short = called.replaceAll(/\W+/g, "-");
      const source = model ?? example(`objectives/${name}.mod`);
      const { weights, folder } = await exportedFrom(source, short);
      const settings = ["--data", data, "--steps", "3", ...SETTINGS, ...(more?.split(" ") ?? [])];
      const [own, theirs] = [join(root, `${short}-run`), join(root, `${short}-torch-run`)];
      await modc("train", source, ...SIZES, "--weights", weights, "-o", own, ...settings);
      await trainedOn(ranks, folder, theirs, ...settings);
      const [due, found] = [logOf(own), logOf(theirs)];
      expect(found.steps.length).toBe(3);
      for (const [i, step] of found.steps.entries()) {
        const wanted = due.steps[i]!;
        expect(Object.keys(step.losses).sort()).toEqual(Object.keys(wanted.losses).sort());
        for (const [loss, value] of Object.entries(step.losses))
          near(value, wanted.losses[loss]!, tolerance, `${loss} of step ${i + 1}`);
        near(step.gradientNorm, wanted.gradientNorm, tolerance * 10, `norm of step ${i + 1}`);
        expect(step.tokens).toBe(wanted.tokens);
        expect(step.bitsPerByte === null).toBe(wanted.bitsPerByte === null);
        if (step.bitsPerByte !== null) near(step.bitsPerByte, wanted.bitsPerByte!, tolerance * 2, "bits per byte");
      }
      expect(Math.abs(found.steps[2]!.loss - found.steps[0]!.loss)).toBeGreaterThan(10 * tolerance);
      for (const [rule, loss] of Object.entries(found.rules)) near(loss, due.rules[rule]!, tolerance, rule);
    },
  );

  it("goes on with records and averages as it was begun, also to modc and back", async () => {
    const { weights, folder } = await exportedFrom(moby, "resumed");
    const words = `--ema 0.75 --chat-template ${template} --pack`.split(" ");
    const settings = ["--data", chats, ...SETTINGS, ...words];
    const [whole, parted, crossed, over] = ["whole", "parted", "crossed", "over"].map((name) => join(root, name));
    await trained(folder, whole!, "--steps", "3", ...settings);
    await trained(folder, parted!, "--steps", "2", ...settings);
    await trained(folder, parted!, "--steps", "3", "--resume");
    const due = logOf(whole!);
    expect(logOf(parted!).steps.map(({ loss }) => loss)).toEqual(due.steps.map(({ loss }) => loss));
    expect(logOf(parted!).rules).toEqual(due.rules);
    await modc("train", moby, ...SIZES, "--weights", weights, "-o", crossed!, "--steps", "1", ...settings);
    const checkpoint = join(folder, "checkpoint.py");
    expect(await ran([checkpoint, "from-modc", crossed!, over!])).toEqual([0, ""]);
    await trained(folder, over!, "--steps", "2", "--resume", "--data", chats, ...words.slice(2));
    expect((await ran([checkpoint, "to-modc", over!, crossed!]))[0]).toBe(0);
    await modc("train", "--resume", "-o", crossed!, "--steps", "3");
    const steps = [logOf(crossed!).steps[0]!, logOf(over!).steps[0]!, logOf(crossed!).steps.at(-1)!];
    for (const [i, { loss }] of steps.entries()) near(loss, due.steps[i]!.loss, 1e-5, `step ${i + 1}`);
    for (const [rule, loss] of Object.entries(logOf(crossed!).rules)) near(loss, due.rules[rule]!, 1e-5, rule);
  });

  it("refuses what is no record, with its line, and options without effect", async () => {
    const folder = join(root, "refusing-torch");
    await modc("export", example("objectives/classify.mod"), ...SIZES, "--to", "torch", "-o", folder);
    const texts = join(root, "texts-torch");
    await modc("export", moby, ...SIZES, "--to", "torch", "-o", texts);
    const pairs = join(root, "pairs-torch");
    await modc("export", example("objectives/embed.mod"), ...SIZES, "--to", "torch", "-o", pairs);
    const [labelled, spam] = [example("objectives/messages.jsonl"), "--labels labels=ham,spam"];
    const broken = file("broken.jsonl", '{"tokens": "a", "labels": 1}\n{"tokens": "b", labels: 1}\n');
    const lacking = file("lacking.jsonl", '{"tokens": "a", "labels": 1}\n\n{"tokens": "b", "label": 1}\n');
    const documents = file("documents.jsonl", '{"text": "Call me Ishmael."}\n');
    const cases: readonly (readonly [folder: string, data: string, words: string, status: number, said: string])[] = [
      [folder, labelled, "", 1, `${labelled}:1: labels is 'spam', which is no number: name the labels: --labels`],
      [
        folder,
        labelled,
        "--labels labels=ham",
        1,
        `${labelled}:1: labels is 'spam', which is no label: the labels are ham`,
      ],
      [folder, labelled, "--labels tokens=a", 2, "--labels names tokens, which is no input with one value for each"],
      [folder, labelled, `${spam} --pack`, 2, "records cannot be packed: labels has one value for each row"],
      [folder, labelled, `${spam} --separator 0`, 2, `--separator has no effect: ${labelled} has records`],
      [folder, labelled, `${spam} --bf16`, 2, "--bf16 is called --precision bf16"],
      [folder, labelled, `${spam} --pipeline 2`, 2, "--pipeline is 2: its objective takes records"],
      [folder, broken, "", 1, `${broken}:2: the line is not JSON at column 17: `],
      [folder, lacking, "", 1, `${lacking}:3: there is no column labels: the columns are tokens, label`],
      [folder, template, "", 1, `${template} is a text, and the objective takes records: give JSONL or Parquet`],
      [texts, chats, "", 1, `${chats}:1: messages need a chat template, and there is none: choose one with`],
      [texts, documents, "", 1, `${documents} is a text, of which each line has a document in text; modc train makes`],
      [texts, template, "--learn all", 2, `--learn has no effect: ${template} is no file of records`],
      [pairs, example("objectives/pairs.jsonl"), "--batch 1", 2, "--batch is 1, but a loss compares all records"],
      [pairs, example("objectives/pairs.jsonl"), "--accumulate 2", 2, "--accumulate is 2, but a loss compares all"],
    ];
    for (const [own, data, more, status, said] of cases) {
      const words = more === "" ? [] : more.split(" ");
      const output = ["--output", join(root, "refused"), "--device", "cpu"];
      const [ended, told] = await ran([
        join(own, "train.py"),
        "--data",
        data,
        "--steps",
        "1",
        "--length",
        "64",
        ...output,
        ...words,
      ]);
      expect([ended, told.slice(0, 10 + said.length)], more).toEqual([status, `train.py: ${said}`]);
    }
  });
});
