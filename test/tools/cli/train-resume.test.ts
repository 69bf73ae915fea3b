// `modc train --resume` with nothing said again: the run's own model, text, parameters and tunings, and what may be
// said otherwise.
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { tuningsPath } from "../../../src/tools/cli/source/tunings.js";
import { printTunings, tuningsFile, tuningsDigest } from "../../../src/compiler/schedule/tunings/file.js";
import { candidates, tuningsFor, type Tunings } from "../../../src/compiler/schedule/tunings/index.js";
import { openDevice } from "../../../src/runtime/index.js";
import { modc, modcProcess, temporaryFolder } from "./spawn.js";

// Many processes, each of which compiles for the device.
vi.setConfig({ testTimeout: 300_000 });

const folder = temporaryFolder();
afterAll(() => folder.remove());
const at = (...names: readonly string[]): string => join(folder.path, ...names);

mkdirSync(at("models"));
mkdirSync(at("cache"));
folder.file("models/sizes.mod", "const width = 4\n");
const model = folder.file(
  "models/tiny.mod",
  `import { Embedding, Linear } from "std"
import { width } from "./sizes.mod"
model Tiny(heads: int = 1) {
  embed: Embedding(256, heads * width)
  mix: Linear(heads * width, 256)
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss l = cross_entropy(mix(embed(tokens)), targets) }
}
model Other() { objective(tokens: u32[B, T <= 16]) { loss l = mean(f32(tokens)) } }
`,
);
const data = folder.file(
  "text.jsonl",
  `${JSON.stringify({ body: "the white whale, the grey whale, the old whale\n".repeat(40) })}\n`,
);
const env = { XDG_CACHE_HOME: at("cache") };
const begin = (output: string, steps: number): readonly string[] =>
  [
    "train",
    "models/tiny.mod",
    "--model",
    "Tiny",
    "--set",
    "heads=2",
    "--data",
    "text.jsonl",
    "--field",
    "body",
    "-o",
    at(output),
  ].concat([
    "--steps",
    String(steps),
    "--batch",
    "4",
    "--schedule",
    "constant",
    "--warmup",
    "0",
    "--checkpoint-every",
    "3",
  ]);
const manifest = (output: string): { step: number; machine: Record<string, string>; begun: Record<string, unknown> } =>
  JSON.parse(readFileSync(at(output, "checkpoints", "last", "manifest.json"), "utf8")) as never; // as it was written
const sameAs = (output: string, other: string): void => {
  for (const file of ["model.safetensors", "state.safetensors"]) {
    const [a, b] = [output, other].map((o) => readFileSync(at(o, "checkpoints", "last", file)));
    expect(a!.equals(b!), `${output}: ${file}`).toBe(true);
  }
};

/** The user's own tunings for the device: the class's tunings with another choice in one family. */
async function tune(choose: (of: Tunings["products"][]) => Tunings["products"] | undefined): Promise<string> {
  const device = await openDevice();
  const { info, target } = device;
  const usual = tuningsFor(target);
  const products = choose(candidates("products", target).map((c) => c.tunings)) ?? usual.products;
  const path = tuningsPath(info, at("cache", "modc", "tunings"));
  mkdirSync(dirname(path), { recursive: true });
  const tunings = { ...usual, products };
  writeFileSync(path, printTunings(tuningsFile(info, target, tunings)));
  device.destroy();
  return tuningsDigest(tunings);
}

describe("modc train --resume", () => {
  let [first, second] = ["", ""];
  beforeAll(async () => {
    first = await tune((all) => all[0]);
    for (const [output, steps] of [
      ["whole", 6],
      ["half", 3],
    ] as const) {
      const ended = await modcProcess(begin(output, steps), { cwd: folder.path, env });
      expect(ended.status, ended.stderr).toBe(0);
    }
    second = await tune((all) => all.at(-1));
  }, 300_000);

  it(
    "goes on with the run's own model, text, parameters and tunings, wherever it is called and whatever the user's " +
      "tunings are now",
    async () => {
      expect(first).not.toBe(second);
      expect(manifest("half").machine["tunings"]).toBe(first);
      cpSync(at("half"), at("bare"), { recursive: true, verbatimSymlinks: true });
      const ended = await modc(["train", "--resume", "-o", at("bare"), "--steps", "6"], { env });
      expect(ended.status, ended.stderr).toBe(0);
      expect(ended.stderr).not.toContain("warning");
      expect(manifest("bare")).toMatchObject({
        step: 6,
        machine: { tunings: first },
        begun: { data, field: "body", tokenizer: null, set: { heads: "2" } },
      });
      sameAs("bare", "whole");
    },
  );

  it(
    "does so without the model's files, takes a text that has moved, and other tunings where they are named, with " +
      "a warning",
    async () => {
      cpSync(at("half"), at("moved"), { recursive: true, verbatimSymlinks: true });
      renameSync(at("models"), at("elsewhere"));
      renameSync(data, at("moved.jsonl"));
      try {
        const gone = await modc(["train", "--resume", "-o", at("moved"), "--steps", "6"], { env });
        expect([gone.status, gone.stderr]).toEqual([
          1,
          expect.stringContaining(
            `${data}, which the run started with, is missing\n  hint: give its present path: --data`,
          ),
        ]);
        const ended = await modc(
          ["train", "--resume", "-o", at("moved"), "--steps", "6", "--data", at("moved.jsonl"), "--tunings", "none"],
          { env },
        );
        expect(ended.status, ended.stderr).toBe(0);
        expect(ended.stderr).toContain(`the checkpoint's ${first}: results may differ in the last bits`);
        expect(manifest("moved").begun["data"]).toBe(at("moved.jsonl"));
      } finally {
        renameSync(at("elsewhere"), at("models"));
        renameSync(at("moved.jsonl"), data);
      }
    },
  );

  it("refuses what does not agree, and says what may change", async () => {
    const other = folder.file("other.jsonl", `${JSON.stringify({ body: "something else entirely\n".repeat(40) })}\n`);
    for (const [args, status, message] of [
      [["--set", "heads=1"], 1, "heads is 1, it was 2"],
      [["--model", "Other"], 1, "the run trains Tiny, not Other"],
      [
        ["--data", other],
        1,
        "is not the data of the run\n  hint: leave out --data, --tokenizer and the other options of data to use the " +
          "run's own",
      ],
      [
        ["--lr", "1"],
        1,
        "--lr 1 contradicts the run, which started with --lr 0.001\n  hint: leave out --lr to continue the run, " +
          "or start another run from the checkpoint's weights: " +
          "--weights; only --steps, --decay, --recompute, --memory, --validate-every, --windows, " +
          "--patience, --sample, --sample-every, --checkpoint-every, --keep may change",
      ],
      [
        ["--length", "8", "--min-lr", "0", "--only", "embed", "--live", "share=50%"],
        1,
        "--length 8 and --min-lr 0 and --live share=50% and --only embed contradict the run, " +
          "which started with --length 16 and with --min-lr 0.0001 and without --live and without --only\n  " +
          "hint: leave out --length and",
      ],
      [["--resume", "5"], 1, "has no checkpoint of step 5\n  hint: it has 3"],
    ] as const) {
      const ended = await modc(["train", "--resume", "-o", at("half"), ...args], { env });
      expect(ended.stderr, args.join(" ")).toContain(message);
      expect(ended.status, args.join(" ")).toBe(status);
    }
    const changed = folder.file(
      "changed.mod",
      readFileSync(model, "utf8").replace("mean(f32", "mean(2 * f32").replace("./sizes", "./models/sizes"),
    );
    expect((await modc(["train", changed, "--resume", "-o", at("half")], { env })).stderr).toContain(
      "changed.mod has changed",
    );
    for (const [args, message] of [
      [["train", "-o", at("x")], "missing required argument 'file'\n  hint: give the model: only --resume knows it"],
      [["train", model, "-o", at("x")], "required option '--data <what>' not specified"],
    ] as const) {
      const ended = await modc(args);
      expect([ended.status, ended.stderr]).toEqual([2, expect.stringContaining(message)]);
    }
    expect((await modc(["train", "--resume", "-o", at("none")], { env })).stderr).toContain(
      "has no checkpoint to resume from",
    );
  });
});
