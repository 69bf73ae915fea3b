// Weights that are no numbers: no command makes a text or a loss of them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { modc, root, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);

const BIGRAMS = `import { Embedding } from "std"

model Bigrams() {
  next: Embedding(256, 256)

  forward(tokens: u32[B, T]) -> f32[B, T, 256] {
    next(tokens)
  }

  objective(tokens: u32[B, T], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;

const WEIGHTS = join(temporary.path, "moby.safetensors");
const bytes = readFileSync(join(root, "examples/moby.safetensors"));
// All bits set are NaN in every type of float.
writeFileSync(WEIGHTS, bytes.fill(0xff, bytes.length - 64));
const MOBY = ["examples/moby.mod", "--weights", WEIGHTS] as const;

it("generate and eval refuse what is not finite, with nothing on standard output", { tags: "long" }, async () => {
  const text = temporary.file("text.txt", "It was the whale. ".repeat(20));
  for (const [args, message] of [
    [["generate", ...MOBY, "--prompt", "It was", "--max-tokens", "4"], "logits after 6 tokens are not finite numbers"],
    [["eval", ...MOBY, "--data", text, "--length", "64"], "loss by top-k is not a finite number"],
  ] as const) {
    const { status, stdout, stderr } = await modc(args);
    expect([status, stdout.trim()]).toEqual([1, ""]);
    expect(stderr).toContain(`error: the model's ${message}`);
    expect(stderr).toContain("check that the weights belong to the model");
    const json = await modc([...args, "--json"]);
    expect(json.status).toBe(1);
    expect(JSON.parse(json.stdout.trim())).toMatchObject({ exit: 1, code: "bad-weights" });
  }
});

describe("of a table of bigrams", () => {
  // After a comes b, after b a. After q comes Z, behind which nothing is finite; and c never comes before d.
  const table = new Float32Array(256 * 256);
  const says = (before: string, after: string, logit: number): void => {
    table[before.charCodeAt(0) * 256 + after.charCodeAt(0)] = logit;
  };
  for (const pair of ["ab", "ba", "qZ"]) says(pair[0]!, pair[1]!, 10);
  says("Z", "a", Infinity);
  says("c", "d", -Infinity);
  const header = { "next.table": { dtype: "F32", shape: [256, 256], data_offsets: [0, table.byteLength] } };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const bigrams = [
    temporary.file("bigrams.mod", BIGRAMS),
    "--weights",
    temporary.file("bigrams.safetensors", Buffer.concat([length, text, Buffer.from(table.buffer)])),
  ] as const;
  const prompted = (...prompts: readonly string[]): readonly string[] => [
    "generate",
    ...bigrams,
    ...prompts.flatMap((prompt) => ["--prompt", prompt]),
    "--max-tokens",
    "4",
  ];

  it("texts beside one that is not finite are made to their end and printed before the error", async () => {
    const { status, stdout, stderr } = await modc(prompted("q", "a", "bab"));
    expect([status, stdout]).toEqual([1, "[1] baba\n[2] abab\n[0] Z\n"]);
    expect(stderr).toMatch(/\[0\] ended by logits that are not finite, \[1\] ended by the number of tokens/);
    expect(stderr).toContain("error: the model's logits after 2 tokens of text 0 are not finite numbers");
    const json = await modc([...prompted("q", "a", "bab"), "--json"]);
    const lines = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect([json.status, lines.length]).toEqual([1, 1 + 4 + 4 + 2]);
    expect(lines.at(-2)).toMatchObject({
      texts: [
        { sequence: 0, text: "Z", finish: null },
        { sequence: 1, text: "baba", finish: "length" },
        { sequence: 2, text: "abab", finish: "length" },
      ],
      interrupted: false,
    });
    expect(lines.at(-1)).toMatchObject({ exit: 1, code: "bad-weights" });
  });

  it("what is left of such a text is not made when the others have ended", async () => {
    const begun = performance.now();
    const { status, stdout } = await modc([...prompted("q", "a").slice(0, -1), "2000000", "--stop", "aba"]);
    expect([status, stdout]).toEqual([1, "[1] b\n[0] Z\n"]);
    expect(performance.now() - begun).toBeLessThan(30_000); // all of it would take an hour
  });

  it("where none is finite there is the error alone", async () => {
    const { status, stdout, stderr } = await modc(prompted("Z", "aZ"));
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("are not finite numbers");
    expect(stderr).not.toContain("ended by");
  });

  it("an infinite loss is refused too", async () => {
    const data = temporary.file("cd.txt", "cd".repeat(20));
    const { status, stdout, stderr } = await modc(["eval", ...bigrams, "--data", data, "--length", "8"]);
    expect([status, stdout.trim()]).toEqual([1, ""]);
    expect(stderr).toMatch(/error: the model's loss is not a finite number/);
  });
});
