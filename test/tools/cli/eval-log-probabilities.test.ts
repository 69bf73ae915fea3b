// `modc eval --log-probabilities`: those of a model of bigrams, known by hand, and of a routed model under both rules.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bigramsIn, shareOf } from "./bigrams.js";
import { run } from "./in-process.js";
import { root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const words = ["eval", ...bigramsIn(folder)] as const;
const output = join(folder.path, "out.jsonl");
const records = (name: string, ...lines: readonly (object | string)[]): string =>
  folder.file(name, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
const written = (): readonly Record<string, unknown>[] =>
  readFileSync(output, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** Expected log-probabilities behind a prompt; 0 at the last token and inside the prompt. */
const by = (tokens: readonly number[], prompt = 1): readonly number[] =>
  tokens.map((token, i) => (i + 1 < prompt || i + 1 === tokens.length ? 0 : Math.log(shareOf(token, tokens[i + 1]!))));
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
const bytes = (text: string): number[] => [...Buffer.from(text)];
const near = (list: readonly number[]): unknown => list.map((x) => expect.closeTo(x, 5) as unknown);

describe("modc eval --log-probabilities", () => {
  it("scores each form of record, and keeps its columns", async () => {
    const masked = { tokens: bytes("abc"), targets: [-1, 99, -1], log_probability: "old" };
    const file = records(
      "records.jsonl",
      { text: "abab", id: 7, nested: { a: [1] } },
      { prompt: "ab", completion: "acc" },
      { tokens: bytes("accc") },
      masked,
      { prompt: "a", chosen: "ba", rejected: "cc", reference_chosen: 3 },
      { chosen: bytes("ab"), rejected: bytes("ac"), rejected_targets: [98, -1] },
    );
    const ended = await run([...words, "--data", file, "--log-probabilities", output, "--json", "--batch", "3"]);
    expect(ended.stderr).toBe("");
    // Texts end with byte 0, as in training.
    const [text, completion] = [by([...bytes("abab"), 0]), by([...bytes("abacc"), 0], 2)];
    const [chosen, rejected] = [by([...bytes("aba"), 0]), by([...bytes("acc"), 0])];
    const sums = [
      text,
      completion,
      by(bytes("accc")),
      [0, Math.log(shareOf(98, 99)), 0],
      [...chosen, ...rejected],
      [Math.log(0.6), Math.log(0.6)],
    ].map(sum);
    const one = (list: readonly number[]): object => ({
      log_probability: expect.closeTo(sum(list), 5) as unknown,
      log_probabilities: near(list),
    });
    expect(written()).toEqual([
      { text: "abab", id: 7, nested: { a: [1] }, ...one(text) },
      { prompt: "ab", completion: "acc", ...one(completion) },
      { tokens: bytes("accc"), ...one(by(bytes("accc"))) },
      { ...masked, ...one([0, Math.log(shareOf(98, 99)), 0]) },
      {
        prompt: "a",
        chosen: "ba",
        rejected: "cc",
        reference_chosen: expect.closeTo(sum(chosen), 5) as unknown,
        reference_rejected: expect.closeTo(sum(rejected), 5) as unknown,
      },
      expect.objectContaining({ reference_chosen: expect.closeTo(Math.log(0.6), 5) as unknown }),
    ]);
    expect(JSON.parse(ended.stdout)).toEqual({
      model: "Bigrams",
      records: 6,
      output,
      rules: {
        "top-k": {
          logProbability: expect.closeTo(sum(sums), 4) as unknown,
          counted: 4 + 4 + 3 + 1 + 6 + 2,
          tokens: 5 + 6 + 4 + 3 + 8 + 4,
          shares: {},
        },
      },
    });
  });

  it("cuts texts at --length, as training does, and reads another field", async () => {
    const file = records("long.jsonl", { body: "ab".repeat(20) });
    const ended = await run([
      ...words,
      "--data",
      file,
      "--log-probabilities",
      output,
      "--length",
      "5",
      "--field",
      "body",
    ]);
    expect(ended.stdout).toMatch(/^rule +records +counted +loss +perplexity +tokens +computed\nall tokens +1 +5 /);
    expect(written()[0]!["log_probabilities"]).toEqual(near(by(bytes("ababab")).slice(0, 5)));
  });

  it("scores the answers of a chat, or all of it, as training learns them", async () => {
    const file = records("chat.jsonl", {
      messages: [
        { role: "user", content: "ab" },
        { role: "assistant", content: "ba" },
      ],
    });
    const template = folder.file("plain.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
    const score = ["--data", file, "--log-probabilities", output, "--chat-template", template];
    await run([...words, ...score]);
    expect(written()[0]!["log_probabilities"]).toEqual(near(by(bytes("abba"), 2)));
    await run([...words, ...score, "--learn", "all"]);
    expect(written()[0]!["log_probabilities"]).toEqual(near(by(bytes("abba"))));
  });

  it.each([
    ['{"other": 3}', "there is no column tokens, or text, or messages, or prompt and completion"],
    ['{"text": 3}', "text is no text"],
    ['{"completion": "a"}', "there is no column tokens, or text, or messages, or prompt and completion"],
    ['{"prompt": 3, "completion": "a"}', "prompt and completion are neither two texts nor two lists of messages"],
    ['{"chosen": "a"}', "there is no column rejected"],
    ['{"messages": [{"role": "assistant", "content": "a"}]}', "messages need a chat template"],
    ['{"tokens": []}', "tokens has no tokens"],
    ['{"tokens": [1, 2.5]}', "tokens contains 2.5: it must hold whole numbers from 0"],
    ['{"tokens": [1, 256]}', "tokens has token 256: Bigrams has 256 tokens"],
    ['{"tokens": [1, 2], "targets": [2]}', "targets has 1 values, the text has 2 tokens"],
    ['{"text": "0123456789abcdef"}', "tokens has 17 tokens with what precedes it: Bigrams allows 16"],
    ["[", "the line is not JSON"],
  ])("refuses %s with its file and line, and leaves the earlier output", async (line, message) => {
    const before = folder.file("out.jsonl", "before");
    const file = records("wrong.jsonl", { text: "ab" }, line);
    const { status, stdout, stderr } = await run([...words, "--data", file, "--log-probabilities", before]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`${file}:2: ${message}`);
    expect(readFileSync(before, "utf8")).toBe("before");
    expect(readdirSync(folder.path).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("refuses to write over what it reads, and where it cannot write", async () => {
    const file = records("own.jsonl", { text: "ab" });
    for (const [path, status, message] of [
      [file, 2, "would overwrite"],
      [join(folder.path, "none", "out.jsonl"), 1, "there is no folder"],
    ] as const) {
      const ended = await run([...words, "--data", file, "--log-probabilities", path]);
      expect(ended.stderr).toContain(message);
      expect(ended.status).toBe(status);
    }
    expect(readFileSync(file, "utf8")).toBe('{"text":"ab"}');
  });

  it.skipIf(!existsSync("/dev/full"))("says that a disk is full", async () => {
    const file = records("full.jsonl", { text: "ab" });
    const { status, stderr } = await run([...words, "--data", file, "--log-probabilities", "/dev/full"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("cannot write /dev/full")]);
  });

  it("scores by both rules, which differ in a routed model", { tags: "long" }, async () => {
    const moby = [join(root, "examples/moby.mod"), "--weights", join(root, "examples/moby.safetensors")];
    const file = records("moby.jsonl", { text: "Call me Ishmael." }, { text: "The whale" });
    const ended = await run(["eval", ...moby, "--data", file, "--log-probabilities", output]);
    expect(ended.stdout).toMatch(/^rule [^]*\ntop-k [^]*\nthe causal rule /);
    const both = written();
    await run(["eval", ...moby, "--data", file, "--log-probabilities", output, "--rule", "causal"]);
    for (const [i, { log_probability, log_probabilities, ...others }] of written().entries()) {
      const { log_probability_causal, log_probabilities_causal } = both[i]!;
      expect(log_probability).toBeCloseTo(log_probability_causal as number, 4);
      expect(log_probabilities).toEqual(near(log_probabilities_causal as number[]));
      expect(Object.keys(others)).toEqual(["text"]);
      expect(Math.abs((both[i]!["log_probability"] as number) - (log_probability as number))).toBeGreaterThan(1e-3);
    }
  });
});
