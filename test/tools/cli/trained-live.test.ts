// The values of live parameters that a run was trained to are the defaults of every command, package and export.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSession } from "../../../src/tools/session/index.js";
import { openTrained } from "../../../src/models/runs/trained-node.js";
import { SMALL, writeRun } from "../session/runs.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-trained-live-"));
const at = (name: string): string => join(folder, name);
const [file, data, ran] = [at("small.mod"), at("text.txt"), at("run")];
const checkpoint = join(ran, "checkpoints", "step-00000020");
const TEXT = SMALL.replace("context: int = 32", "context: int = 32, live capacity: ratio = 100%").replace(
  "MoD(Layer(dim, 2), dim)",
  "MoD(Layer(dim, 2), dim, capacity)",
);
const RUN = { file, text: TEXT, set: { dim: "8", depth: "2" }, data, steps: [20], best: 20, live: { capacity: 0.25 } };
const SET = ["--set", "dim=8", "--set", "depth=2"];
/** What had to be said before. */
const SAID = [...SET, "--live", "capacity=25%"];
const NOTE = "note: capacity = 25%, as at the end of step 20; --live gives another value\n";
const FINE = { status: 0 };

beforeAll(async () => {
  writeFileSync(file, TEXT);
  writeFileSync(data, "Call me Ishmael. Some years ago, never mind how long precisely. ".repeat(20));
  await writeRun(ran, RUN);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the values that a run was trained to", () => {
  it("are those of eval, routes, run, cost and plan, which say so", { tags: "long" }, async () => {
    for (const [name, ...more] of [
      ["eval", "--data", data, "--length", "16"],
      ["routes", "--data", data, "--length", "16", "--windows", "2"],
      ["run", "--text", "Call me Ishmael.", "--device", "reference"],
    ] as const) {
      const weights = ["--weights", join(checkpoint, "model.safetensors")];
      const whole = await run([name, ran, ...more, "--json"]);
      expect(whole).toMatchObject({ ...FINE, stderr: expect.stringContaining(NOTE) });
      expect(whole.stdout).toBe((await run([name, file, ...weights, ...SAID, ...more, "--json"])).stdout);
      expect(whole.stdout).not.toBe((await run([name, ran, "--live", "capacity=100%", ...more, "--json"])).stdout);
    }
    for (const words of [["cost"], ["plan", "--target", "portable"]] as const) {
      const [name, ...more] = words;
      const whole = await run([name, ran, ...more, "--json"]);
      expect(whole).toMatchObject({ ...FINE, stderr: expect.stringContaining(NOTE) });
      expect(whole.stdout).toBe((await run([name, file, ...SET, "--set", "capacity=25%", ...more, "--json"])).stdout);
    }
    const other = await run(["cost", ran, "--set", "capacity=50%", "--json"]);
    expect([other.stdout, other.stderr.includes("capacity")]).toEqual([
      (await run(["cost", file, ...SET, "--set", "capacity=50%", "--json"])).stdout,
      false,
    ]);
  });

  it("are those of generate, also in the library", { tags: "long" }, async () => {
    const words = ["--prompt", "Call me", "--max-tokens", "12"];
    const whole = await run(["generate", ran, ...words]);
    const weights = ["--weights", join(checkpoint, "model.safetensors")];
    expect(whole).toMatchObject({
      ...FINE,
      stdout: (await run(["generate", file, ...weights, ...SAID, ...words])).stdout,
    });
    expect(whole.stderr).toContain(NOTE);
    // Of a model that is named itself, whose weights are the run's, too.
    for (const [path, options] of [
      [ran, {}],
      [file, { weights: ran, set: { dim: 8, depth: 2 } }],
    ] as const) {
      const session = await openSession(path, options);
      expect(session.generation.prompt.live.map((l) => [l.name, l.default])).toEqual([["capacity", "1/4"]]);
      session.dispose();
    }
  });

  it(
    "are the defaults of programs, packages and exports, in place of which --live names others",
    { tags: "long" },
    async () => {
      const program = JSON.parse((await run(["compile", ran])).stdout);
      expect(program.live).toEqual([expect.objectContaining({ name: "capacity", default: "1/4" })]);
      for (const [live, fraction] of [
        [[], "1, 4"],
        [["--live", "capacity=1/2"], "1, 2"],
      ] as const) {
        const torch = at(`torch-${fraction}`);
        expect(await run(["export", ran, "--to", "torch", "-o", torch, ...live])).toMatchObject(FINE);
        expect(readFileSync(join(torch, "model.py"), "utf8")).toContain(`live = {"capacity": Fraction(${fraction})}`);
        const built = at(`package-${fraction}`);
        expect(await run(["build", ran, "-o", built, ...live])).toMatchObject(FINE);
        const texts = readdirSync(built, { recursive: true, encoding: "utf8" })
          .filter((name) => name.endsWith(".json"))
          .map((name) => readFileSync(join(built, name), "utf8"));
        const defaults = texts.flatMap((text) => [
          ...text.matchAll(/"name":\s*"capacity",[^}]*"default":\s*"([^"]*)"/g),
        ]);
        expect(new Set(defaults.map(([, value]) => value))).toEqual(new Set([fraction.replace(", ", "/")]));
      }
      expect(await run(["export", ran, "--to", "torch", "-o", at("none"), "--live", "dim=3"])).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("the model has no live parameter dim\n  hint: it has capacity"),
      });
      expect(await run(["build", ran, "-o", at("none"), "--live", "capacity=much"])).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("--live capacity=much: write a number such as 0.5, 12.5% or 1/8"),
      });
    },
  );

  it(
    "are the defaults of the run's weights in another model file, where it declares them",
    { tags: "long" },
    async () => {
      const cost = await run(["cost", file, ...SET, "--json"]);
      const words = ["eval", file, ...SET, "--data", data, "--length", "16", "--json"];
      const own = await run([...words, "--weights", ran]);
      expect(own).toMatchObject({ ...FINE, stderr: expect.stringContaining(NOTE) });
      expect(own.stdout).toBe((await run([...words, "--weights", ran, "--live", "capacity=25%"])).stdout);
      expect(cost.stderr).toBe("");
      const fixed = at("fixed.mod");
      writeFileSync(fixed, SMALL);
      const others = await run(["eval", fixed, ...SET, "--data", data, "--length", "16", "--weights", ran, "--json"]);
      expect(others).toMatchObject({ ...FINE, stderr: expect.not.stringContaining("capacity") });
    },
  );

  it("stay with a merged folder, and what a file of weights or of text does not keep is said", async () => {
    expect(await run(["merge", ran, "-o", at("merged")])).toMatchObject(FINE);
    expect(openTrained(at("merged"))).toMatchObject({ live: { capacity: "0.25" } });
    for (const words of [
      ["merge", ran, "-o", at("merged.safetensors")],
      ["init", ran, "-o", at("init.safetensors")],
      ["import", ran, "-o", at("import.mod")],
    ])
      expect(await run(words)).toMatchObject({
        ...FINE,
        stderr: expect.stringMatching(
          /note: .* does not keep capacity = 25%, as at the end of step 20: use it with --live/,
        ),
      });
  });

  it("are none in checkpoints of before, and are numbers", async () => {
    const manifest = join(checkpoint, "manifest.json");
    const before = readFileSync(manifest, "utf8");
    const { live: _live, ...older } = JSON.parse(before) as Record<string, unknown>;
    writeFileSync(manifest, JSON.stringify(older));
    expect(openTrained(ran)).toMatchObject({ live: {}, set: RUN.set });
    writeFileSync(manifest, JSON.stringify({ ...older, live: { capacity: "25%); evil(" } }));
    expect(() => openTrained(ran)).toThrow("has a live parameter that is not a number");
    writeFileSync(manifest, before);
  });
});
