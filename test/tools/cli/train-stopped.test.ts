// `modc train` that is interrupted or killed, on the device, and data of each kind: it goes on to the bytes of a run that
// was not disturbed. test/tools/train/run-kinds.test.ts stops runs of more kinds without a device.
// @module-tag long
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { cases, patience, seedOf } from "../../soak.js";
import { main, modc, temporaryFolder } from "./spawn.js";

// Many processes, each of which compiles for the device.
vi.setConfig({ testTimeout: patience(300_000), hookTimeout: patience(300_000) });

const folder = temporaryFolder();
afterAll(() => folder.remove());

const DECODER = `import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"
model Small(live capacity: ratio = 25%) {
  embed:  Embedding(256, 16)
  layers: [Residual(Layer(16, 2)), MoD(Layer(16, 2), 16, capacity)]
  norm:   RMSNorm(16)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
`;
const next = folder.file(
  "next.mod",
  `${DECODER}
  objective(tokens: u32[B, T <= 32], targets: i32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}
`,
);
const preferring = folder.file(
  "preferring.mod",
  `${DECODER}
  objective(
    chosen: u32[B, T <= 32], chosen_targets: i32[B, T], rejected: u32[B, S <= 32], rejected_targets: i32[B, S]
  ) {
    better = sum(log_probability(forward(chosen), chosen_targets), axis: 1)
    worse  = sum(log_probability(forward(rejected), rejected_targets), axis: 1)
    loss preference = mean(softplus(worse - better))
  }
}
`,
);
const whales = Array.from({ length: 120 }, (_, i) => ({
  prompt: "the ",
  completion: `${["white", "grey", "old"][i % 3]} whale${"!".repeat(i % 7)}`,
  chosen: `${["white", "grey", "old"][i % 3]} whale`,
  rejected: `ship${"!".repeat((3 * i) % 11)}`,
}));
const jsonl = folder.file("whales.jsonl", whales.map((row) => `${JSON.stringify(row)}\n`).join(""));
const columnData = (["prompt", "completion"] as const).map((name) => ({
  name,
  data: whales.map((row) => row[name]),
  type: "STRING" as const,
}));
const KINDS: readonly (readonly [string, readonly string[]])[] = [
  [
    "a text",
    [
      next,
      "--data",
      folder.file(
        "text.txt",
        whales
          .map((w) => `${w.prompt}${w.completion}\n`)
          .join("")
          .repeat(4),
      ),
    ],
  ],
  ["JSONL records", [next, "--data", jsonl]],
  [
    "packed Parquet records",
    [
      next,
      "--pack",
      "--data",
      folder.file("whales.parquet", Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 50 }))),
    ],
  ],
  ["preferences", [preferring, "--data", jsonl]],
];
const OPTIONS =
  "--batch 4 --accumulate 2 --steps 24 --lr 0.02 --validate-every 8 --checkpoint-every 5 --windows 4 " +
  "--live-schedule capacity=100%@0,25%@50%";

const last = (output: string, file: string): Buffer =>
  readFileSync(join(folder.path, output, "checkpoints", "last", file));
const sameAs = (output: string, other: string): void => {
  for (const file of ["model.safetensors", "state.safetensors"])
    expect(last(output, file).equals(last(other, file)), `${output}: ${file}`).toBe(true);
};

describe.each(KINDS)("modc train on %s", (kind, words) => {
  const name = (of: string): string => `${kind.replaceAll(" ", "-")}-${of}`;
  const begin = (output: string): readonly string[] =>
    ["train", ...words, "-o", join(folder.path, output)].concat(OPTIONS.split(" "));
  const again = (output: string): readonly string[] => ["train", "--resume", "-o", join(folder.path, output)];
  const whole = name("whole");
  beforeAll(async () => {
    const { status, stderr } = await modc(begin(whole));
    expect(status, stderr).toBe(0);
  });

  it("learns", () => {
    const losses = readFileSync(join(folder.path, whole, "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; loss: number })
      .filter((entry) => entry.kind === "step")
      .map((entry) => entry.loss);
    expect(losses).toHaveLength(24);
    expect(losses.at(-1)! / losses[0]!).toBeLessThan(0.6);
  });

  it("finishes the step and saves on an interrupt, exits with 130, and goes on", async () => {
    const output = name("stopped");
    const child = spawn(process.execPath, [main, ...begin(output)], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    let [said, sent] = ["", false];
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      // Once, for a second interrupt ends the process.
      if (!sent && /saved .*step-00000005/.test(said)) sent = child.kill("SIGINT");
    });
    expect(await ended, said).toBe(130);
    expect(said).toContain("stopping after this step");
    const resumed = await modc(again(output));
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(resumed.stderr).toMatch(/^continuing from .*: \d+ of 24 steps are done$/m);
    sameAs(output, whole);
  });

  it("survives kill -9", async () => {
    const wanted = cases(2);
    let x = seedOf(99);
    let kills = 0;
    // One run after another, each killed until it comes to its end, or until there were enough.
    for (let run = 0; kills < wanted; run++) {
      const output = name(`killed-${run}`);
      const command = (): readonly string[] => {
        const checkpoints = join(folder.path, output, "checkpoints");
        const saved = existsSync(checkpoints) && readdirSync(checkpoints).some((entry) => entry.startsWith("step-"));
        return saved ? again(output) : begin(output);
      };
      for (let done = false; !done && kills < wanted;) {
        const child = spawn(process.execPath, [main, ...command()], { stdio: ["ignore", "ignore", "pipe"] });
        const ended = new Promise<string | null>((resolve) =>
          child.once("close", (_status, signal) => resolve(signal)),
        );
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        let timer: NodeJS.Timeout | null = null;
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          if (text.includes("to train on")) timer ??= setTimeout(() => child.kill("SIGKILL"), (x >>> 24) * 6);
        });
        done = (await ended) === null;
        if (timer) clearTimeout(timer);
        if (!done) kills++;
      }
      const finished = await modc(command());
      expect(finished.status, finished.stderr).toBe(0);
      sameAs(output, whole);
    }
  });

  it("writes nothing of a loss that is not finite", async () => {
    const output = name("infinite");
    const { status, stderr } = await modc([...begin(output), "--lr", "1e30", "--clip", "0", "--warmup", "0"]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^error: step \d+: the (loss|norm) .* (NaN|Infinity)/m),
    ]);
    expect(stderr).toContain("no checkpoint was written yet; a lower --lr");
    expect(existsSync(join(folder.path, output, "checkpoints", "last"))).toBe(false);
  });
});
