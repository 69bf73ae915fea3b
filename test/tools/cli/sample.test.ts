// `modc sample`: texts of a model of bigrams, whose log-probabilities are known by hand, and of a routed model.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bigramsIn, shareOf } from "./bigrams.js";
import { run } from "./in-process.js";
import { root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const bigrams = bigramsIn(folder);
const [bigramsFile, ...bigramsWeights] = bigrams as [string, ...string[]];
const output = join(folder.path, "out.jsonl");
const lines = (name: string, ...given: readonly (object | string)[]): string =>
  folder.file(name, given.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));

interface Sampled {
  readonly prompt: string;
  readonly completion: string;
  readonly tokens: readonly number[];
  readonly targets: readonly number[];
  readonly old: readonly number[];
  readonly sum: number;
}
const read = (text: string): readonly Sampled[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Sampled);
const written = (): readonly Sampled[] => read(readFileSync(output, "utf8"));
const bytes = (text: string): number[] => [...Buffer.from(text)];
const near = (list: readonly number[]): unknown => list.map((x) => expect.closeTo(x, 5) as unknown);

const sample = (prompts: string, ...options: readonly string[]): ReturnType<typeof run> =>
  run(["sample", bigramsFile, prompts, ...bigramsWeights, ...options]);

describe("modc sample", () => {
  it("writes texts of each prompt in order, with the log-probability of each sampled token", async () => {
    const prompts = lines("prompts.jsonl", { prompt: "ab", id: 7 }, { prompt: "c" }, { prompt: "0123456789abcde" });
    const ended = await sample(prompts, "--count", "3", "--max-tokens", "5", "--seed", "4", "-o", output);
    expect(ended).toEqual({ status: 0, stdout: "", stderr: `${output} has 9 texts\n` });
    const texts = written();
    expect(texts.map(({ prompt }) => prompt)).toEqual(
      ["ab", "c", "0123456789abcde"].flatMap((prompt) => [prompt, prompt, prompt]),
    );
    expect(new Set(texts.slice(0, 3).map(({ tokens }) => tokens.join())).size).toBeGreaterThan(1);
    for (const [i, { prompt, completion, tokens, targets, old, sum, ...others }] of texts.entries()) {
      expect(others).toEqual(i < 3 ? { id: 7 } : {});
      const from = bytes(prompt).length;
      expect(tokens.slice(0, from)).toEqual(bytes(prompt));
      // The model allows 16 tokens.
      expect(tokens.length).toBe(Math.min(16, from + 5));
      expect(completion).toBe(new TextDecoder().decode(Uint8Array.from(tokens.slice(from))));
      expect(targets).toEqual(tokens.map((_, at) => (at + 1 < from ? -1 : (tokens[at + 1] ?? -1))));
      expect(old).toEqual(near(targets.map((target, at) => (target < 0 ? 0 : Math.log(shareOf(tokens[at]!, target))))));
      expect(sum).toBeCloseTo(
        old.reduce((a, b) => a + b, 0),
        9,
      );
    }
  });

  it("causes no warnings of Node with many texts at once", async () => {
    const warnings: string[] = [];
    const heard = ({ name, message }: Error): void => void warnings.push(`${name}: ${message}`);
    process.on("warning", heard);
    try {
      const prompts = lines("many.jsonl", { prompt: "ab" });
      expect((await sample(prompts, "--count", "40", "--max-tokens", "5", "-o", output)).status).toBe(0);
      expect(written().length).toBe(40);
      await new Promise((resolve) => setImmediate(resolve)); // warnings come after the current tick
      expect(warnings).toEqual([]);
    } finally {
      process.off("warning", heard);
    }
  });

  it("gives the log-probabilities of the model whatever the temperature, and those of eval", async () => {
    const prompts = lines("warm.jsonl", { prompt: "ab" }, { prompt: "a" });
    await sample(prompts, "--count", "2", "-n", "6", "--temperature", "0.5", "--top-p", "0.9", "-o", output);
    const scored = join(folder.path, "scored.jsonl");
    const words = ["eval", ...bigrams, "--data", output, "--log-probabilities", scored, "--rule", "causal"];
    expect((await run(words)).status).toBe(0);
    const by = readFileSync(scored, "utf8").trimEnd().split("\n");
    expect(by.length).toBe(4);
    for (const [i, { old }] of written().entries())
      expect(old).toEqual(near((JSON.parse(by[i]!) as { log_probabilities: number[] }).log_probabilities));
  });

  it("gives the same bytes for a seed, whatever is sampled at once, and others for another", async () => {
    const prompts = lines("seeds.jsonl", { prompt: "ab" }, { prompt: "0" });
    const of = async (...options: readonly string[]): Promise<string> =>
      (await sample(prompts, "--count", "4", "-n", "8", ...options)).stdout;
    const first = await of("--seed", "3");
    expect(read(first).length).toBe(8);
    expect(await of("--seed", "3")).toBe(first);
    expect(await of("--seed", "3", "--max-batch", "2")).toBe(first);
    expect(await of("--seed", "300")).not.toBe(first);
  });

  it("reads messages by the chat template, from standard input", async () => {
    const stdin = JSON.stringify({ messages: [{ role: "user", content: "a" }] });
    const template = folder.file("chat.jinja", "{{ messages[0].content }}b");
    const words = ["sample", bigramsFile, "-", ...bigramsWeights, "--chat-template", template, "-n", "3"];
    const { status, stdout } = await run(words, { stdin });
    expect(status).toBe(0);
    expect(read(stdout)[0]!.tokens.slice(0, 2)).toEqual(bytes("ab"));
    const without = await run(["sample", bigramsFile, "-", ...bigramsWeights], { stdin });
    expect([without.status, without.stderr]).toEqual([1, expect.stringContaining("the model has no chat template")]);
    expect(without.stderr).toContain("<stdin>:1: ");
  });

  it.each([
    ['{"other": 3}', "the line has no prompt"],
    ['{"prompt": 3}', "prompt is a number, not a text"],
    ['{"prompt": ""}', "prompt is empty"],
    ['{"prompt": "0123456789abcdef"}', "prompt has 16 tokens"],
    ['{"messages": "a"}', "messages is a string, not a list"],
    ['{"messages": []}', "there are no messages"],
    ['{"messages": [3]}', "each message is an object with role and content"],
    ['{"messages": [{"role": "user"}]}', "each message is an object with role and content"],
    ["[", "the line is not JSON"],
  ])("refuses %s with its file and line, and leaves the earlier output", async (line, message) => {
    const before = folder.file("out.jsonl", "before");
    const file = lines("wrong.jsonl", { prompt: "ab" }, line);
    const { status, stdout, stderr } = await sample(file, "-o", before);
    expect(stderr).toContain(`${file}:2: ${message}`);
    expect([status, stdout]).toEqual([1, ""]);
    expect(readFileSync(before, "utf8")).toBe("before");
    expect(readdirSync(folder.path).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("refuses to write over the prompts, and a file without prompts", async () => {
    const file = lines("own.jsonl", { prompt: "ab" });
    expect(await sample(file, "-o", file)).toMatchObject({ status: 2 });
    expect(readFileSync(file, "utf8")).toBe('{"prompt":"ab"}');
    const empty = await sample(lines("empty.jsonl", "", ""));
    expect([empty.status, empty.stderr]).toEqual([1, expect.stringContaining("has no prompts")]);
  });

  it("keeps the whole texts at an interrupt, and exits with 130", async () => {
    const before = folder.file("out.jsonl", "before");
    const own = process.listeners("SIGINT");
    const fresh = (): readonly string[] => readdirSync(folder.path).filter((name) => name.includes("out.jsonl."));
    const timer = setInterval(() => {
      const [heard] = process.listeners("SIGINT").filter((listener) => !own.includes(listener));
      const begun = fresh().some((name) => statSync(join(folder.path, name)).size > 0);
      if (heard === undefined || !begun) return;
      clearInterval(timer);
      heard("SIGINT");
    }, 1);
    try {
      const options = ["--count", "5000", "-n", "2", "--max-batch", "4", "-o", before];
      const { status, stdout } = await sample(lines("many.jsonl", { prompt: "a" }), ...options);
      expect([status, stdout]).toEqual([130, ""]);
    } finally {
      clearInterval(timer);
    }
    const kept = readFileSync(before, "utf8");
    for (const { tokens } of read(kept)) expect(tokens.length).toBe(3);
    expect(kept.endsWith("\n")).toBe(true);
    expect(kept.split("\n").length).toBeLessThan(5000);
    expect(fresh()).toEqual([]);
  });

  it("samples a routed model by the causal rule, and an objective trains on the texts", { tags: "long" }, async () => {
    const file = join(root, "examples/objectives/grpo.mod");
    const weights = join(folder.path, "rewarded.safetensors");
    expect((await run(["init", file, "-o", weights, "--seed", "2"])).status).toBe(0);
    const words = [file, "--weights", weights];
    const prompts = lines("routed.jsonl", { prompt: "Call me", advantage: 1 }, { prompt: "The", advantage: -1 });
    const [first, ...rest] = words;
    const ended = await run(["sample", first!, prompts, ...rest, "--count", "3", "-n", "24", "-o", output]);
    expect([ended.status, ended.stderr]).toEqual([0, expect.stringContaining("has 6 texts")]);
    const scored = join(folder.path, "routed-scored.jsonl");
    const evaluated = ["eval", ...words, "--data", output, "--log-probabilities", scored, "--rule", "causal"];
    expect((await run(evaluated)).status).toBe(0);
    const by = readFileSync(scored, "utf8").trimEnd().split("\n");
    for (const [i, { old }] of written().entries())
      // Caches and whole texts sum in other orders: 1e-4 of log-probabilities near −5.
      expect(old).toEqual(
        (JSON.parse(by[i]!) as { log_probabilities: number[] }).log_probabilities.map(
          (x) => expect.closeTo(x, 4) as unknown,
        ),
      );
    const trained = await run([
      "train",
      file,
      "--data",
      output,
      "-o",
      join(folder.path, "run"),
      "--steps",
      "2",
      "--batch",
      "2",
      "--validation",
      "20%",
    ]);
    expect([trained.status, trained.stderr]).toEqual([0, expect.any(String)]);
  });
});
