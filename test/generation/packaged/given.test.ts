// Packages of models with inputs beside the tokens: their tokens are those of a generator, their checks are its checks,
// and their types ask for the inputs.
// @module-tag long
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { LoadedModel, PackagedModel } from "../../../src/generation/packaged/model.js";
import type { GenerateOptions } from "../../../src/generation/types.js";
import { InputError } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { generationOf, packageOf, programOf, startingWeights } from "../../tools/build/packages.js";
import { root, temporaryFolder } from "../../tools/cli/spawn.js";

const TRANSLATE = readFileSync(new URL("../../../examples/inputs/translate.mod", import.meta.url), "utf8");
const SMALL = { dim: 32, depth: 2, heads: 2 };
/** A picture, a sequence, and values of each token. */
const BESIDE = `import { Attention, Embedding, Linear } from "std"
model Beside(dim: int = 16) {
  embed: Embedding(256, dim)
  patch: Linear(5, dim)
  place: Linear(2, dim)
  self:  Attention(dim, 2)
  out:   Linear(dim, 256)
  forward(image: f32[B, 6, 5], memory: f32[B, S <= 32, dim], at: f32[B, T, 2], kind: u32[B, T],
    tokens: u32[B, T <= 64]) -> f32[B, T, 256] {
    x = embed(tokens) + place(at) + embed(kind)
    x = x + self(x)
    patches = sequence(patch(image))
    out(x + attention(x, patches, patches) + 3 * attention(x, memory, memory))
  }
}
`;
const PROMPTS = ["Call me", [83, 111, 109]] as const;
const LONGEST = 7;
const folder = temporaryFolder();
afterAll(folder.remove);

const rng = random(5);
const tensor = (...shape: number[]): { readonly shape: number[]; readonly data: number[] } => ({
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
});

interface Made {
  readonly model: PackagedModel;
  readonly place: string;
  readonly expected: (options: GenerateOptions) => Promise<readonly number[][]>;
}

async function built(name: string, source: string, set: Readonly<Record<string, number>>): Promise<Made> {
  const run = programOf(source, set);
  const generation = generationOf(source, set);
  const weights = startingWeights(run);
  const { files } = await packageOf(run, { programs: { run, generation }, weights });
  const place = join(folder.path, name);
  for (const [file, bytes] of files) {
    mkdirSync(dirname(join(place, file)), { recursive: true });
    writeFileSync(join(place, file), bytes);
  }
  const imported = (await import(pathToFileURL(join(place, "index.js")).href)) as { readonly default: PackagedModel };
  return {
    model: imported.default, // what modc build writes
    place,
    async expected(options) {
      const device = await sparingDevice();
      const generator = await createGenerator(generation, device, weights);
      const prompts = PROMPTS.map((prompt) => (typeof prompt === "string" ? new TextEncoder().encode(prompt) : prompt));
      const tokens: number[][] = prompts.map(() => []);
      for await (const { sequence, token } of generator.generate(prompts, options)) tokens[sequence]!.push(token);
      generator.dispose();
      device.destroy();
      return tokens;
    },
  };
}

async function tokensOf(loaded: LoadedModel, options: GenerateOptions): Promise<readonly number[][]> {
  const tokens: number[][] = PROMPTS.map(() => []);
  for await (const { sequence, token } of loaded.generate({ prompts: PROMPTS }, options)) tokens[sequence]!.push(token);
  return tokens;
}

beforeAll(() => {
  mkdirSync(join(folder.path, "node_modules"));
  symlinkSync(join(root, "node_modules", "webgpu"), join(folder.path, "node_modules", "webgpu"), "dir");
});

describe("a package with given inputs", { timeout: 120_000 }, () => {
  let made: Made;
  const source = [
    [72, 101, 108, 108, 111, 33],
    [119, 111, 114, 0, 0, 0],
  ];
  const options = { inputs: { source }, lengths: { S: [6, 3] }, maxTokens: 8 };
  beforeAll(async () => void (made = await built("translate", TRANSLATE, SMALL)));

  it("generates what the generator does, with lengths by axis, also after it was warmed and in a worker", async () => {
    const wanted = await made.expected(options);
    const whole = await made.expected({ inputs: { source }, maxTokens: 8 });
    expect(whole, "lengths matter").not.toEqual(wanted);
    const loaded = await made.model.load({ use: "generate", warm: true });
    expect(await tokensOf(loaded, options)).toEqual(wanted);
    expect(await tokensOf(loaded, { ...options, lengths: {} })).toEqual(whole);
    loaded.dispose();
    const { default: remote } = (await import(pathToFileURL(join(made.place, "worker.js")).href)) as {
      readonly default: PackagedModel; // what modc build writes
    };
    const inWorker = await remote.load({ use: "generate" });
    expect(await tokensOf(inWorker, options)).toEqual(wanted);
    inWorker.dispose();
    await inWorker.lost;
  });

  it("refuses with the messages of the generator", async () => {
    const loaded = await made.model.load({ use: "generate" });
    for (const faulty of [
      {},
      { inputs: {} },
      { inputs: { source: [[1, 2]] } },
      { inputs: { source: [[0.5], [1]] } },
      { inputs: { source, image: [1] } },
      { inputs: { source, tokens: [[1]] } },
      { inputs: { source }, lengths: { S: [7, 1] } },
      { inputs: { source }, lengths: { T: [1, 1] } },
      { inputs: { source }, next: () => ({}) },
    ] as readonly GenerateOptions[]) {
      const fault = async (asked: Promise<unknown>): Promise<string> =>
        asked.then(
          () => "none",
          (error: unknown) => (error instanceof Error ? error.message : "no error"),
        );
      const message = await fault(tokensOf(loaded, { maxTokens: 2, ...faulty }));
      expect(message).not.toBe("none");
      expect(message).toBe(await fault(made.expected({ maxTokens: 2, ...faulty })));
    }
    loaded.dispose();
  });

  it("has types that ask for the inputs by name, and lengths by axis", () => {
    const declared = readFileSync(join(made.place, "index.d.ts"), "utf8");
    expect(declared).toContain("readonly source: InputValue;");
    writeFileSync(
      join(folder.path, "use.ts"),
      `import model from "./translate/index.js";
const loaded = await model.load();
loaded.generate("a", { inputs: { source: [[1]] }, lengths: { S: [1] } });
// @ts-expect-error an input is missing
loaded.generate("a", { inputs: {} });
// @ts-expect-error the options are missing
loaded.generate("a");
// @ts-expect-error the tokens' axis has no lengths
loaded.generate("a", { inputs: { source: [[1]] }, lengths: { T: [1] } });
// @ts-expect-error no input has a value for each token
loaded.generate("a", { inputs: { source: [[1]] }, next: () => ({}) });
`,
    );
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom"];
    writeFileSync(join(folder.path, "package.json"), '{ "type": "module" }');
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, "--types", "", "use.ts"], {
      cwd: folder.path,
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([0, ""]);
  });
});

describe("a package whose tokens have further values", { timeout: 120_000 }, () => {
  const inputs = {
    image: tensor(2, 6, 5),
    memory: tensor(2, 4, 16),
    at: tensor(2, LONGEST, 2),
    kind: [
      [1, 2, 3, 4, 5, 6, 7],
      [9, 8, 7, 0, 0, 0, 0],
    ],
  };
  /** Differ by token, place and sequence. */
  const next = (token: number, position: number, sequence: number) => ({
    at: [Math.sin(token), Math.cos(position)],
    kind: (token + 7 * position + 31 * sequence) % 256,
  });
  let made: Made;
  beforeAll(async () => void (made = await built("beside", BESIDE, {})));

  it("takes those of tokens to come from `next`", async () => {
    const options = { inputs, lengths: { S: [2, 4] }, next, maxTokens: 8 };
    const wanted = await made.expected(options);
    const loaded = await made.model.load({ use: "generate", warm: true });
    expect(await tokensOf(loaded, options)).toEqual(wanted);
    const other = { ...options, next: () => ({ at: [0, 0], kind: 0 }) };
    expect(await made.expected(other), "the values matter").not.toEqual(wanted);
    await expect(tokensOf(loaded, { inputs, maxTokens: 2 })).rejects.toThrow(
      "cannot generate: the input at has values for 7 tokens, but up to 8 are read",
    );
    loaded.dispose();
    expect(readFileSync(join(made.place, "index.d.ts"), "utf8")).toContain(
      "readonly at: number | readonly number[];\n    readonly kind: number | readonly number[];\n",
    );
  });

  it("does not take `next` into a worker", async () => {
    const { default: remote } = (await import(pathToFileURL(join(made.place, "worker.js")).href)) as {
      readonly default: PackagedModel; // what modc build writes
    };
    const loaded = await remote.load({ use: "generate" });
    const refused = await tokensOf(loaded, { inputs, next }).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      name: InputError.name,
      message: "`next` is a function, which cannot be sent to a worker",
    });
    loaded.dispose();
    await loaded.lost;
  });
});
