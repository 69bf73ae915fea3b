// `modc eval` on records: options that have no effect, losses that compare records, and losses that are no numbers.
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const rows = (...records: readonly object[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join("");
const model = (inputs: string, loss: string): string => `import { Embedding } from "std"
model Small(vocab: int = 256, dim: int = 4) {
  embed: Embedding(vocab, dim)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] { embed(tokens) @ transpose(embed.table) }
  objective(${inputs}) { loss own = ${loss} }
}
`;
const text = folder.file(
  "text.mod",
  model("tokens: u32[B, T <= 64], targets: i32[B, T]", "cross_entropy(forward(tokens), targets)"),
);
const pairs = folder.file(
  "pairs.mod",
  model(
    "query: u32[B, T <= 64], positive: u32[B, T]",
    "contrast(mean(embed(query), axis: 1), mean(embed(positive), axis: 1), scale: 1.0)",
  ),
);
const records = folder.file(
  "pairs.jsonl",
  rows(...Array.from({ length: 12 }, (_, i) => ({ query: `query ${i}`, positive: `answer ${i}` }))),
);

describe("modc eval", () => {
  it("refuses options of records on a text", async () => {
    const data = folder.file("text.txt", "a text of some length");
    for (const [flag, value] of [
      ["--learn", "all"],
      ["--labels", "targets=a,b"],
      ["--chat-template", "chatml"],
    ] as const) {
      const { status, stderr } = await run(["eval", text, "--data", data, flag, value]);
      expect([status, stderr]).toEqual([2, expect.stringContaining(`${flag} has no effect: ${data} is a text`)]);
    }
  });

  it(
    "evaluates a loss that compares records by the run's batch, and never on one record",
    { tags: "long" },
    async () => {
      const to = join(folder.path, "run");
      const words = ["--data", records, "-o", to, "--steps", "1", "--batch", "3", "--validation", "50%", "--json"];
      const trained = await run(["train", pairs, ...words]);
      expect(trained.status, trained.stderr).toBe(0);
      const { validation } = JSON.parse(trained.stdout) as { validation: { loss: number } };
      const lossBy = async (...more: readonly string[]): Promise<number> => {
        const { stdout } = await run(["eval", to, "--json", ...more]);
        return (JSON.parse(stdout) as { rules: { "top-k": { loss: number } } }).rules["top-k"].loss;
      };
      expect(await lossBy()).toBe(validation.loss);
      expect(await lossBy("--batch", "2")).toBeLessThan(validation.loss - 0.1);
      const alone = await run(["eval", to, "--batch", "1"]);
      expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining("--batch is 1, but the loss has")]);
    },
  );

  it("reads other records as the run was trained, and so do other commands", { tags: "long" }, async () => {
    const chat = (answer: string) => ({
      messages: ["question", answer].map((content, i) => ({ role: i === 0 ? "user" : "assistant", content })),
    });
    const data = folder.file("chats.jsonl", rows(chat("answer"), chat("another")));
    const template = folder.file("chat.jinja", "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}{% endfor %}");
    const to = join(folder.path, "chat-run");
    const words = ["-o", to, "--steps", "1", "--batch", "1", "--validation", "0", "--chat-template", template];
    const trained = await run(["train", text, "--data", data, ...words]);
    expect(trained.status, trained.stderr).toBe(0);
    const other = folder.file("other.jsonl", rows(chat("yet another")));
    const lossOf = async (...more: readonly string[]): Promise<string> => {
      const { status, stdout, stderr } = await run(["eval", to, "--data", other, ...more]);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    expect(await lossOf()).toBe(await lossOf("--chat-template", template, "--learn", "answers"));
    expect(await lossOf()).not.toBe(await lossOf("--learn", "all"));
    const prompts = folder.file("prompts.jsonl", rows({ messages: [{ role: "user", content: "x" }] }));
    const sampled = await run(["sample", to, prompts, "-n", "1"]);
    expect(sampled.status, sampled.stderr).toBe(0);
    expect(JSON.parse(sampled.stdout)).toMatchObject({
      tokens: [...Buffer.from("<u>x"), expect.any(Number)],
    });
  });

  it("refuses names of classes that are empty or there twice", async () => {
    const file = folder.file("classes.mod", model("tokens: u32[B, T <= 64], class: i32[B]", "mean(f32(class))"));
    const data = folder.file("classes.jsonl", rows({ tokens: "a", class: "good" }));
    for (const [names, fault] of [
      ["good,good", '"good" is there twice'],
      ["bad,,good", '"" is no label'],
      ["", '"" is no label'],
    ] as const) {
      const { status, stderr } = await run(["eval", file, "--data", data, "--labels", `class=${names}`]);
      expect([status, stderr]).toEqual([2, expect.stringContaining(`--labels class=${names}: ${fault}`)]);
    }
  });

  it("reports a loss that is no number", async () => {
    const file = folder.file("large.mod", model("x: f32[B]", "mean(x * x)"));
    const data = folder.file("large.jsonl", rows({ x: 1e30 }, { x: 1 }));
    const { status, stderr } = await run(["eval", file, "--data", data]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("the model's loss by top-k is not a finite number")]);
  });
});

describe("modc routes", () => {
  it("refuses records", async () => {
    const { status, stderr } = await run(["routes", pairs, "--data", records]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("a text, which cannot fill the inputs of")]);
  });
});
