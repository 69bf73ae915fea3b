// Models with states on the command line: their output, and states in files and packages.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../../src/runtime/index.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-states-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (...names: readonly string[]): string => join(folder, ...names);
const [model, weights] = [path("level.mod"), path("level.safetensors")];

const SOURCE = `import { Embedding } from "std"

model Level(vocab: int = 7, dim: int = 2) {
  embed: Embedding(vocab, dim)
  /// The mean of all values seen, lately.
  state level: f32[dim] = ones
  names { "level" = "running.mean" }

  forward(tokens: u32[B, T <= 16]) -> f32[B, T, vocab] {
    x = embed(tokens)
    update level = 0.5 * level + 0.5 * mean(x, axis: [0, 1])
    (x - level) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss fit = cross_entropy(forward(tokens), targets) }
}
`;

beforeAll(async () => {
  writeFileSync(model, SOURCE);
  const { status, stdout } = await run(["init", model, "-o", weights, "--seed", "3"]);
  expect([status, stdout]).toEqual([0, `${weights}: 1 weight and 1 state of Level, 16 numbers, seed 3\n`]);
});

describe("a model with a state", () => {
  it("is begun with it, under its key, and counts it apart", async () => {
    const source = readSafetensors(readFileSync(weights));
    expect([...source.tensors.keys()].sort()).toEqual(["embed.table", "running.mean"]);
    const bytes = Buffer.from(await source.read("running.mean"));
    expect([bytes.length, bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([8, 1, 1]);
    const { stdout } = await run(["init", model, "-o", path("again.safetensors"), "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ weights: 1, states: 1, parameters: 14 });
    const cost = await run(["cost", model]);
    expect(cost.stdout).toContain("14 parameters, 0 of them outside embeddings\n2 numbers in states, which are not");
  });

  it("stays in f32 where weights are rounded", async () => {
    const half = path("half.safetensors");
    expect((await run(["init", model, "--weights", weights, "--weights-as", "f16", "-o", half])).status).toBe(0);
    const { tensors } = readSafetensors(readFileSync(half));
    expect([tensors.get("embed.table")!.dtype, tensors.get("running.mean")!.dtype]).toEqual(["F16", "F32"]);
  });

  it("gives what the state is after a step in train alone, on the device as in the reference", async () => {
    const inputs = ["--input", "tokens=[[1,2,3]]", "--input", "targets=[[2,3,4]]", "--weights", weights];
    const { status, stdout } = await run(["run", model, "--phase", "train", ...inputs, "--gradients", "--check"]);
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/^state\.level: f32\[2\] = \[/m);
    expect(stdout).toMatch(/^grad\.embed\.table: /m);
    expect(stdout).not.toContain("grad.level");
    const infer = await run(["run", model, "--enter", "objective", ...inputs]);
    expect(infer.status).toBe(0);
    expect(infer.stdout).not.toContain("state.level");
  });

  it("is not loaded without it", async () => {
    const bare = `import { Embedding } from "std"
model Bare() {
  embed: Embedding(7, 2)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 2] { embed(tokens) }
}
`;
    writeFileSync(path("bare.mod"), bare);
    expect((await run(["init", path("bare.mod"), "-o", path("bare.safetensors")])).status).toBe(0);
    const { status, stderr } = await run([
      "run",
      model,
      "--input",
      "tokens=[[1]]",
      "--weights",
      path("bare.safetensors"),
    ]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("running.mean")]);
  });

  it("is packed with it", async () => {
    const { status } = await run(["build", model, "--weights", weights, "-o", path("package")]);
    expect(status).toBe(0);
    const manifest = readFileSync(path("package", "manifest.json"), "utf8");
    expect(manifest).toContain('"level"');
  });
});
