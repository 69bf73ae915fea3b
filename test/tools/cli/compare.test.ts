// `modc compare`: the table, JSON and page of runs, against their logs; and runs that cannot be compared.
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLog, type LogEntry } from "../../../src/tools/train/log-node.js";
import type { Comparison } from "../../../src/tools/train/compare.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { scratch, text } from "../train/folder.js";
import { pretendModel, pretendRun, PretendTrainer } from "../train/pretend.js";
import { run } from "./in-process.js";

const SOURCE = `import { Embedding, Linear } from "std"
model Small(dim: int = 4, vocabulary: int = 256) {
  embed: Embedding(vocabulary, dim)
  head:  Linear(dim, vocabulary, bias: false)
  forward(tokens: u32[B, T <= 256]) -> f32[B, T, vocabulary] { head(embed(tokens)) }
  objective(tokens: u32[B, T <= 256], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
const folder = scratch();
afterAll(() => folder.remove());
const data = folder.file("text.txt", text(20_000, 1));
const other = folder.file("other.txt", text(20_000, 2));
const at = (name: string): string => join(folder.path, name);
const settings = { context: 32, batch: 2, steps: 20, validateEvery: 8, validationWindows: 4 };

/** Trains a pretended model with the parameter `dim`. */
async function made(
  name: string,
  dim: string,
  change: Partial<RunOptions["settings"]> = {},
  { text: from = data, source = SOURCE, set = {}, memory = 3 << 20, routed = true } = {},
): Promise<void> {
  const all = { dim, ...set };
  const model = {
    ...pretendModel,
    ...(!routed && { routed, rules: ["top-k"] as const }),
    set: all,
    parameters: { vocabulary: "256", ...all },
    sources: [{ path: "small.mod", text: source }],
  };
  class Sized extends PretendTrainer {
    readonly memory = memory;
  }
  const asked = pretendRun(
    at(name),
    from,
    { ...settings, ...change },
    { model, createTrainer: async () => new Sized() },
  );
  for await (const _event of trainModel(asked));
}

beforeAll(async () => {
  await made("a", "4");
  await made("b", "8", { batch: 4, lr: 0.002 });
});

const compare = async (...words: readonly string[]) =>
  run(["compare", ...words.map((word) => (word.startsWith("-") || word.includes("/") ? word : at(word)))]);

describe("modc compare", () => {
  it("adds up what the log of each run has, and finds its best validation", async () => {
    const { status, stdout, stderr } = await compare("a", "b", "--json");
    expect(status, stderr).toBe(0);
    const { runs, differences } = JSON.parse(stdout) as Comparison;
    expect(runs.map((r) => r.run)).toEqual([at("a"), at("b")]);
    for (const found of runs) {
      const entries: LogEntry[] = [];
      for await (const entry of readLog(join(found.run, "log.jsonl"))) entries.push(entry);
      const sum = (field: string): number =>
        entries.reduce((n, e) => n + (e.kind === "step" ? (e[field] as number) : 0), 0);
      expect(found.spent.operations).toBeCloseTo(sum("flops"), 3);
      expect(found.spent.tokens).toBe(sum("tokens"));
      expect(found.spent.seconds).toBeCloseTo(sum("seconds"), 9);
      const validations = entries.filter((e) => e.kind === "validation");
      expect(found.validations.map((v) => v.step)).toEqual([8, 16, 20]);
      const best = validations.findLast((v) => v["best"])!;
      const rules = best["rules"] as Record<string, { loss: number }>;
      expect(found.validation).toMatchObject({
        step: best.step,
        best: true,
        loss: { "top-k": rules["top-k"]!.loss, causal: rules["causal"]!.loss },
        bitsPerByte: best["bitsPerByte"],
        computedShare: expect.closeTo((0.125 + 0.139 + 0.108) / 3, 9),
      });
      // What the first eight steps took.
      expect(found.validations[0]!.at.tokens).toBe((8 * found.spent.tokens) / 20);
      expect(found.memory).toBe(3 << 20);
    }
    // Embedding and head of 256 × dim each.
    expect(runs.map((r) => r.parameters)).toEqual([2 * 256 * 4, 2 * 256 * 8]);
    expect(runs[1]!.spent.tokens).toBe(2 * runs[0]!.spent.tokens);
    expect(differences).toEqual([
      { name: "dim", values: ["4", "8"] },
      { name: "--batch", values: ["2", "4"] },
      { name: "--lr", values: ["0.001", "0.002"] },
      { name: "--router-lr", values: ["0.001", "0.002"] },
      { name: "--min-lr", values: ["0.0001", "0.0002"] },
    ]);
  });

  it("names no rule where no run has routes", async () => {
    for (const name of ["dense-a", "dense-b"]) await made(name, "4", {}, { routed: false });
    const page = at("dense.html");
    const { stdout } = await compare("dense-a", "dense-b", "-o", page);
    expect(stdout.split("\n")[0]!.trim().split(/ {2,}/).slice(0, 3)).toEqual(["run", "loss", "bits/byte"]);
    expect(readFileSync(page, "utf8")).not.toMatch(/top-k|causal/);
  });

  it("prints a line for each run, then what differs", async () => {
    const { stdout } = await compare("a", "b");
    const [head, first, second, gap, ...below] = stdout.trimEnd().split("\n");
    expect(head!.trim().split(/ {2,}/)).toEqual(
      [
        ["run", "top-k", "causal", "bits/byte", "at step", "computed"],
        ["operations", "tokens", "time", "memory", "parameters", "steps"],
      ].flat(),
    );
    expect(first).toMatch(
      /a {2,}\d\.\d{4} {2,}\d\.\d{4} {2,}\d\.\d{3} {2,}\d+ {2,}12\.4% {2,}84\.00 GFLOP {2,}1\.280 k {2,}4 s {2,}3 MiB {2,}2\.048 k {2,}20$/,
    );
    expect(second).toContain("2.560 k");
    expect(gap).toBe("");
    expect(below.map((line) => line.split(/ {2,}/)[0])).toEqual([
      "differs",
      "dim",
      "--batch",
      "--lr",
      "--router-lr",
      "--min-lr",
    ]);
  });

  it("writes a page with six charts that needs nothing else", async () => {
    const page = at("page.html");
    const { status, stderr } = await compare("a", "b", "-o", page);
    expect(status, stderr).toBe(0);
    const html = readFileSync(page, "utf8");
    expect(html).not.toMatch(/(src|href)=|url\((?!#)|https?:\/\/|@import/);
    for (const loss of ["validation", "training"])
      for (const over of ["operations", "tokens", "seconds"]) expect(html).toContain(`id="${loss}-${over}"`);
    const json = /id="validation-tokens">[\s\S]*?<script type="application\/json">(.*?)<\/script>/.exec(html)![1]!;
    const { axis, series } = JSON.parse(json) as {
      axis: string;
      series: readonly { name: string; points: readonly [number, string, string][] }[];
    };
    expect(axis).toBe("tokens");
    expect(series.map((s) => [s.name, s.points.map(([x]) => x)])).toEqual([
      [at("a"), [512, 1024, 1280]],
      [at("b"), [1024, 2048, 2560]],
    ]);
  });

  it("shows a dash for what an older checkpoint does not record", async () => {
    cpSync(at("a"), at("old"), { recursive: true, verbatimSymlinks: true });
    const manifest = join(at("old"), "checkpoints", "last", "manifest.json");
    const {
      memory: _memory,
      unimproved: _unimproved,
      ...older
    } = JSON.parse(readFileSync(manifest, "utf8")) as {
      memory: number;
      unimproved: number;
    };
    writeFileSync(manifest, JSON.stringify(older));
    const { stdout } = await compare("old", "b");
    expect(stdout.split("\n")[1]).toMatch(/4 s {2,}- {2,}2\.048 k/);
  });

  it.each([
    ["another text", { text: other }, {}, /: they read other tokens \(.*text\.txt as bytes; .*other\.txt as bytes\)/],
    ["another context", {}, { context: 16 }, /: --length is 32 and 16/],
    ["another held-out share", {}, { validation: 0.1 }, /: --validation is 0\.05 and 0\.1/],
    ["other windows", {}, { validationWindows: 3 }, /: --windows is 4 and 3/],
    [
      "another vocabulary",
      { set: { vocabulary: "300" } },
      {},
      /: their models have vocabularies of 256 and 300 tokens/,
    ],
    [
      "another loss",
      { source: SOURCE.replace("loss next_token", "loss other_token") },
      {},
      /: their objectives have other losses \(next_token; other_token\)/,
    ],
  ])("refuses a run of %s", async (name, more, change, message) => {
    const to = name.replaceAll(" ", "-");
    await made(to, "4", change, more);
    const { status, stdout, stderr } = await compare("a", to);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
  });

  it("refuses other batches if losses compare the sequences of a batch", async () => {
    const source = SOURCE.replace(
      "cross_entropy(forward(tokens), targets)",
      "contrast(embed(tokens)[:, 0], embed(targets)[:, 0], scale: 1.0)",
    );
    for (const batch of [2, 4]) await made(`batch-${batch}`, "4", { batch }, { source });
    expect((await compare("batch-2", "batch-2")).status).toBe(0);
    expect((await compare("batch-2", "batch-4")).stderr).toMatch(/cannot be compared: --batch is 2 and 4/);
  });

  it("refuses a single run, a checkpoint, a folder that is no run, and a run without its log", async () => {
    expect((await compare("a")).stderr).toContain("a comparison needs at least two runs");
    expect((await compare("a", join(at("b"), "checkpoints", "last"))).stderr).toContain("is a checkpoint\n");
    expect((await compare("a", folder.path)).stderr).toContain("is not the folder of a run");
    cpSync(at("b"), at("lost"), { recursive: true, verbatimSymlinks: true });
    rmSync(join(at("lost"), "log.jsonl"));
    expect((await compare("a", "lost")).stderr).toContain("log.jsonl is missing");
    const many = await compare("a", ...Array.from({ length: 6 }, () => "b"), "-o", at("many.html"));
    expect([many.status, many.stderr]).toEqual([2, expect.stringContaining("a page shows at most 6 runs")]);
  });
});
