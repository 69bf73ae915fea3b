// `modc train` and `modc eval` as a user runs them, on the device.
import { cpSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patience } from "../../soak.js";
import { modc, NO_DEVICE, temporaryFolder, type Ended } from "./spawn.js";

// Many processes, each of which compiles for the device.
vi.setConfig({ testTimeout: patience(300_000) });

const folder = temporaryFolder();
afterAll(() => folder.remove());

const model = folder.file(
  "small.mod",
  `import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"
import { dim } from "./sizes.mod"

model Small(live capacity: ratio = 25%) {
  embed:  Embedding(256, dim)
  layers: [Residual(Layer(dim, 2)), MoD(Layer(dim, 2), dim, capacity)]
  norm:   RMSNorm(dim)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 32], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`,
);
folder.file("sizes.mod", "const dim = 16\n");
// A text that is learned quickly.
const data = folder.file(
  "text.txt",
  Array.from({ length: 400 }, (_, i) => `the ${["white", "grey", "old"][i % 3]} whale\n`).join(""),
);
const OPTIONS = [
  "--batch",
  "4",
  "--accumulate",
  "2",
  "--steps",
  "24",
  "--lr",
  "0.02",
  "--validate-every",
  "8",
  "--checkpoint-every",
  "5",
  "--windows",
  "4",
];
const begin = (output: string, ...more: readonly string[]): readonly string[] => [
  "train",
  model,
  "--data",
  data,
  "-o",
  join(folder.path, output),
  ...OPTIONS,
  ...more,
];
const again = (output: string, ...more: readonly string[]): readonly string[] => [
  "train",
  model,
  "--data",
  data,
  "-o",
  join(folder.path, output),
  "--resume",
  ...more,
];
const last = (output: string, file: string): Buffer =>
  readFileSync(join(folder.path, output, "checkpoints", "last", file));
const sameAs = (output: string, other: string): void => {
  for (const file of ["model.safetensors", "state.safetensors"])
    expect(last(output, file).equals(last(other, file)), `${output}: ${file}`).toBe(true);
};

let whole: Ended;
beforeAll(async () => {
  whole = await modc(begin("whole", "--live-schedule", "capacity=100%@0,25%@50%"));
}, 300_000);

describe("modc train", () => {
  it("trains: the loss falls far below that of chance, and what it leaves is said", () => {
    expect(whole.status, whole.stderr).toBe(0);
    expect(whole.stderr).toMatch(
      /^text: 6\.\d+ k tokens to train on, 3\d\d tokens held out|held out; kept in .*tokens-[0-9a-f]{32}\.bin$/m,
    );
    expect(whole.stderr).toMatch(
      /^step 24\/24 {2}epoch 1\.\d {2}loss \d\.\d{4} {2}\d\.\d{3} bits\/byte {2}lr 0\.002 {2}\|g\| \S+ {2}.* tokens\/s {2}\S+ GFLOP\/s {2}computed 25\.0% {2}predictor \d+\.\d% {2}capacity 0\.25$/m,
    );
    const computed = String.raw`by top-k \(\S+ bits\/byte, \d+\.\d% computed\), \S+ by the causal rule, which decides \(\S+ bits\/byte, \d+\.\d% computed\)`;
    expect(whole.stderr).toMatch(
      new RegExp(
        String.raw`^step 8: validation loss .* ${computed}; not compared while it changes: capacity 0\.5$`,
        "m",
      ),
    );
    expect(whole.stderr).toMatch(
      new RegExp(String.raw`^step 16: validation loss .* ${computed}, the best so far$`, "m"),
    );
    expect(whole.stderr).toMatch(
      /\nthe best checkpoint is .*step-000000\d\d\ntry it with modc generate \S*whole --prompt "…"\n$/,
    );
    expect(whole.stdout).toMatch(/whole: finished at step 24 of 24; validation at step 24: loss (\d\.\d+) /);
    const log = readFileSync(join(folder.path, "whole", "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; loss: number; live: Record<string, number>; flops: number });
    const steps = log.filter((entry) => entry.kind === "step");
    expect(steps).toHaveLength(24);
    // A byte at random costs ln 256 = 5.5 nats.
    expect(steps.at(-1)!.loss).toBeLessThan(2.5);
    expect(steps.map((s) => s.live["capacity"]!).slice(0, 3)).toEqual(
      [1, 1 - 0.75 / 12, 1 - 1.5 / 12].map((x) => expect.closeTo(x, 9)),
    );
    expect(steps[0]!.flops).toBeGreaterThan(1e6);
    expect(readdirSync(join(folder.path, "whole")).sort()).toEqual([
      ".cache",
      "checkpoints",
      "log.jsonl",
      "report.html",
    ]);
    expect(readFileSync(join(folder.path, "whole", "report.html"), "utf8")).toContain("layers.1.chosen");
  });

  it("keeps the source of the model and of what it imports", () => {
    expect(last("whole", "source-0.mod").toString()).toBe(readFileSync(model, "utf8"));
    expect(last("whole", "source-1.mod").toString()).toBe("const dim = 16\n");
  });

  it("leaves weights that `run` takes", async () => {
    const { status, stdout, stderr } = await modc([
      "run",
      model,
      "--weights",
      join(folder.path, "whole", "checkpoints", "best"),
      "--text",
      "the white whale",
      "--json",
    ]);
    expect(status, stderr).toBe(0);
    const { data: logits } = (JSON.parse(stdout) as { outputs: { output: { data: number[] } } }).outputs.output;
    const best = logits.slice(8 * 256, 9 * 256);
    expect(best.indexOf(Math.max(...best)), "after `the white` comes a space").toBe(" ".charCodeAt(0));
  });

  it("says what stops it, and loses nothing", { tags: "long" }, async () => {
    const copy = (name: string): string => {
      cpSync(join(folder.path, "whole"), join(folder.path, name), { recursive: true, verbatimSymlinks: true });
      return join(folder.path, name);
    };
    copy("broken");
    truncateSync(join(folder.path, "broken", "checkpoints", "step-00000024", "model.safetensors"), 50);
    const short = folder.file("short.txt", "the whale");
    const changed = folder.file("changed.mod", readFileSync(model, "utf8").replace("2)), MoD", "4)), MoD"));
    copy("changed");
    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [begin("whole"), 1, "whole already contains a run\n  hint: continue it with --resume, or give another folder"],
      [again("broken"), 1, "step-00000024: model.safetensors is truncated: it has 50 of"],
      [again("broken"), 1, "hint: continue from an intact checkpoint: --resume 20"],
      [
        ["train", changed, "--data", data, "-o", join(folder.path, "changed"), "--resume"],
        1,
        "changed.mod has changed\n  hint: leave out the model and --set to use the run's own, or start another " +
          "run from its weights: --weights",
      ],
      [again("changed", "--lr", "1"), 1, "--lr 1 contradicts the run, which started with --lr 0.02"],
      [["train", model, "--data", short, "-o", join(folder.path, "short")], 1, "the text has 9 tokens"],
      [
        ["train", model, "--data", join(folder.path, "none"), "-o", join(folder.path, "none-run")],
        1,
        "there is no such file, folder or installed package",
      ],
      [
        begin("inf", "--lr", "1e30", "--clip", "0", "--warmup", "0"),
        1,
        "a lower --lr, a longer --warmup or a smaller --clip may help",
      ],
      [begin("x", "--length", "64"), 1, "--length 64: Small allows 32"],
      [begin("x1", "--live", "speed=1"), 1, "Small has no live parameter speed\n  hint: it has capacity"],
      [begin("x2", "--live", "capacity=2"), 1, "capacity is 2 at step 0: a ratio is between 0 and 1"],
      [begin("x3", "--only", "nothing.*"), 1, "no weight is called nothing.*\n  hint: its router is layers.1.router"],
      [begin("x31", "--only", "routr"), 1, "no weight is called routr\n  hint: did you mean router?"],
      [begin("x4", "--warmup", "30"), 1, "the warm-up takes 30 steps: it must be from 0 to all of the 24"],
      [begin("x9", "--only", ""), 2, "--only is empty"],
      [begin("x5", "--lr", "-1"), 2, '--lr "-1": it must be a number above 0'],
      [
        begin("x6", "--device", "reference"),
        2,
        "'reference' is invalid. Allowed choices are gpu, software, swiftshader.",
      ],
      [begin("x8", "--lr", "1e39"), 2, '--lr "1e39": no 32-bit float is so large'],
      [begin("x9", "--eps", "1e-60"), 2, '--eps "1e-60": no 32-bit float is so small'],
      [begin("x10", "--clip", "1e300"), 2, '--clip "1e300": no 32-bit float is so large'],
      [again("changed", "--weights", "x.safetensors"), 2, "--resume and --weights exclude each other"],
      [["train", model, "-o", "x"], 2, "required option '--data <what>' not specified"],
      [["train", "examples/golden.mod", "--data", data, "-o", "x"], 1, "objective"],
    ];
    for (const [args, status, message] of cases) {
      const ended = await modc(args);
      expect(ended.stderr, args.join(" ")).toContain(message);
      expect([ended.status, ended.stdout], args.join(" ")).toEqual([status, ""]);
      expect(ended.stderr).not.toMatch(/^ +at /m);
    }
    const nowhere = await modc(begin("x7"), { env: NO_DEVICE });
    expect(nowhere.status).toBe(3);
    // Where there is no device, what is wrong with the weights is said all the same.
    for (const [weights, message] of [
      [join(folder.path, "nope"), "nope: there is no such file"],
      [data, "text.txt is not a safetensors file"],
    ] as const) {
      const ended = await modc(begin("x7", "--weights", weights), { env: NO_DEVICE });
      expect([ended.status, ended.stderr]).toEqual([1, expect.stringContaining(message)]);
    }
    expect(existsSync(join(folder.path, "inf", "checkpoints", "last"))).toBe(false);
    sameAs("changed", "whole");
  });

  it("teaches only the weights it is told to", { tags: "long" }, async () => {
    const ended = await modc(begin("only", "--only", "norm.*,layers.0.*", "--steps", "3", "--json"));
    expect(ended.status, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ reason: "finished", step: 3, steps: 3 });
    const init = join(folder.path, "init.safetensors");
    await modc(["init", model, "-o", init]);
    const tensors = (bytes: Buffer): Map<string, Buffer> => {
      const size = Number(bytes.readBigUInt64LE(0));
      const header = JSON.parse(bytes.toString("utf8", 8, 8 + size)) as Record<
        string,
        { data_offsets: [number, number] }
      >;
      return new Map(
        Object.entries(header).flatMap(([key, { data_offsets }]) =>
          data_offsets ? [[key, bytes.subarray(8 + size + data_offsets[0], 8 + size + data_offsets[1])]] : [],
        ),
      );
    };
    const [before, after] = [tensors(readFileSync(init)), tensors(last("only", "model.safetensors"))];
    const changed = [...after].filter(([key, bytes]) => !bytes.equals(before.get(key)!)).map(([key]) => key);
    expect(changed.length).toBeGreaterThan(3);
    expect(
      changed.every((key) => key.startsWith("norm.") || key.startsWith("layers.0.")),
      changed.join(),
    ).toBe(true);
  });
});

describe("modc eval", () => {
  const best = (): string => join(folder.path, "whole", "checkpoints", "best");
  it("gives what training's validation gave, under both rules", async () => {
    const { status, stdout, stderr } = await modc([
      "eval",
      model,
      "--weights",
      best(),
      "--data",
      data,
      "--validation",
      "5%",
      "--windows",
      "4",
      "--json",
    ]);
    expect(status, stderr).toBe(0);
    const { rules } = JSON.parse(stdout) as {
      rules: Record<string, { loss: number; perplexity: number; bitsPerByte: number; tokens: number }>;
    };
    const log = readFileSync(join(folder.path, "whole", "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; step: number; rules: Record<string, { loss: number }> });
    const manifest = JSON.parse(readFileSync(join(best(), "manifest.json"), "utf8")) as { step: number };
    const validation = log.find((entry) => entry.kind === "validation" && entry.step === manifest.step)!;
    // The same program on the same batches but for their number of rows: only the order of sums differs.
    for (const rule of ["top-k", "causal"]) {
      expect(rules[rule]!.loss).toBeCloseTo(validation.rules[rule]!.loss, 4);
      expect(rules[rule]!.perplexity).toBeCloseTo(Math.exp(rules[rule]!.loss), 9);
      expect(rules[rule]!.bitsPerByte).toBeCloseTo(rules[rule]!.loss / Math.LN2, 9);
      expect(rules[rule]!.tokens).toBe(128);
    }
  });

  it("of a whole text, under one rule, as a table; its last window may be short", async () => {
    const text = folder.file("passage.txt", "the white whale\nthe old whale\nthe grey whale\n");
    const { status, stdout, stderr } = await modc([
      "eval",
      model,
      "--weights",
      best(),
      "--data",
      text,
      "--rule",
      "causal",
    ]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(
      /^rule +tokens +loss +perplexity +bits\/byte +computed\nthe causal rule +44 +\d\.\d{4} +\S+ +\d\.\d{4} +\S+%\n$/,
    );
  });

  it("says what stops it", async () => {
    writeFileSync(join(folder.path, "one.txt"), "x");
    for (const [args, status, message] of [
      [["--data", join(folder.path, "one.txt")], 1, "the text has only one token"],
      [["--data", data, "--length", "33"], 1, "--length 33: Small allows 32"],
      [["--data", data, "--validation", "all"], 2, '--validation "all" is not a share of the text'],
      [["--data", data, "--weights", join(folder.path, "text.txt")], 1, "is not a safetensors file"],
    ] as const) {
      const ended = await modc(["eval", model, ...args]);
      expect(ended.stderr).toContain(message);
      expect(ended.status).toBe(status);
    }
  });
});
