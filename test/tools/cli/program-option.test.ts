// `--program`: the graphs, kernels, plans, costs and times of every program that a model becomes, not of the one pass
// alone.
import { describe, expect, it } from "vitest";
import { PROGRAM_NAMES } from "../../../src/runtime/program/names.js";
import { modc } from "./spawn.js";

const MOBY = ["examples/moby.mod", "--set", "depth=2", "--set", "context=64"];

// The model has no inputs but its tokens.
describe.each(PROGRAM_NAMES.filter((name) => name !== "given"))("--program %s", (program) => {
  const asked = [...MOBY, "--program", program];
  const isOfDraft = program === "draft" || program === "verify-draft";
  const isOfGeneration = isOfDraft || program === "prompt" || program === "step";
  const tokens = program === "step" || program === "draft" ? 1 : 40;
  it("is shown by ir, wgsl, plan and cost", { tags: "long" }, async () => {
    const [ir, wgsl, plan, cost] = await Promise.all([
      modc(["ir", ...asked]),
      modc(["wgsl", ...asked, "--json"]),
      modc(["plan", ...asked, "--length", "40", "--target", "discrete"]),
      modc(["cost", ...asked, "--length", "40", "--json"]),
    ]);
    expect(
      [ir.status, wgsl.status, plan.status, cost.status],
      ir.stderr + wgsl.stderr + plan.stderr + cost.stderr,
    ).toEqual([0, 0, 0, 0]);
    expect(ir.stdout.includes("cache.layers.0.inner.attn.keys")).toBe(isOfGeneration);
    expect(ir.stdout.includes("paged_attention")).toBe(isOfDraft);
    // A draft leaves out the routed layer.
    expect(ir.stdout.includes("cache.layers.1.inner.attn.keys")).toBe(isOfGeneration && program !== "draft");
    expect(ir.stdout.includes("adamw")).toBe(program === "train-step");
    expect(JSON.parse(wgsl.stdout).length).toBeGreaterThan(5);
    expect(plan.stdout).toMatch(new RegExp(`^Moby, ${program}, B=1 T=${tokens}[ ,]`));
    expect(JSON.parse(cost.stdout)).toMatchObject({ program, tokens });
  });
});

it("profile measures a step behind a prompt of that length", { tags: "long" }, async () => {
  const { status, stdout, stderr } = await modc([
    "profile",
    ...MOBY,
    "--program",
    "step",
    "--length",
    "40",
    "--repeat",
    "1",
    "--json",
  ]);
  expect(status, stderr).toBe(0);
  const { program, extents, works } = JSON.parse(stdout) as {
    program: string;
    extents: Record<string, number>;
    works: readonly { readonly ms: number }[];
  };
  expect(program).toBe("step");
  expect(extents).toMatchObject({ B: 1, T: 1, "T.capacity": 40, "K.capacity": 40 });
  expect(works.length).toBeGreaterThan(10);
});

it("--program says what is compiled, and goes without the options that say it otherwise", async () => {
  for (const other of [["--phase", "train"], ["--enter", "objective"], ["--gradients"]]) {
    const { status, stderr } = await modc(["ir", ...MOBY, "--program", "step", ...other]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining(`--program step already chooses the program: ${other[0]} has no effect`),
    ]);
  }
  const dense = await modc(["wgsl", "bench/models/decoder.mod", "--program", "draft"]);
  expect([dense.status, dense.stderr]).toEqual([1, expect.stringMatching(/this one has none to leave out/)]);
  const measured = await modc(["profile", ...MOBY, "--program", "draft"]);
  expect([measured.status, measured.stderr]).toEqual([2, expect.stringMatching(/profile does not fill/)]);
  const block = await modc(["ir", "bench/models/mod.mod", "--program", "step"]);
  expect([block.status, block.stderr]).toEqual([1, expect.stringMatching(/a model that generates/)]);
});
