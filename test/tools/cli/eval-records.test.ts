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

  it("evaluates a loss that compares records by the run's batch, and never on one record", async () => {
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
    expect([status, stderr]).toEqual([1, expect.stringContaining("holds records, and the command reads texts")]);
  });
});
