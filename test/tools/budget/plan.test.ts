// The output of a plan for a small model, and refused plans.
import { describe, expect, it } from "vitest";
import { curveOf, lossBy } from "../../../src/tools/budget/curve.js";
import { drawnPlan } from "../../../src/tools/cli/program/budget.js";
import { stepsOfGrowth } from "../../../src/tools/budget/plan.js";
import { variantsOf } from "../../../src/tools/budget/opened.js";
import { run } from "../cli/in-process.js";
import { exampleText, planOf } from "./planned.js";

const MOBY = exampleText("moby.mod");
const SMALL = { dim: "32", heads: "2", depth: "2", vocab: "16", context: "64" };
/** Without an objective no memory is told, whose programs take longest to make. */
const FORWARD = `${MOBY.slice(0, MOBY.indexOf("  objective("))}}\n`;
const small = (options: Parameters<typeof planOf>[2]) => planOf(MOBY, SMALL, options).variants[0]!;
const forwardOnly = (options: Parameters<typeof planOf>[2]) => planOf(FORWARD, SMALL, options).variants[0]!;

describe("a plan", () => {
  it("varies parameters as their product, the last fastest", () => {
    expect(
      variantsOf(
        new Map([
          ["a", ["1", "2"]],
          ["b", ["x", "y"]],
        ]),
      ),
    ).toEqual([
      { a: "1", b: "x" },
      { a: "1", b: "y" },
      { a: "2", b: "x" },
      { a: "2", b: "y" },
    ]);
    expect(variantsOf(new Map())).toEqual([{}]);
    const many = Array.from({ length: 65 }, (_, i) => String(i));
    expect(() => variantsOf(new Map([["a", many]]))).toThrow("65 variants: at most 64");
  });

  it("counts training of the whole step, and pays for steps by it", { tags: "long" }, () => {
    const { forward, training } = small({ batch: 4 });
    expect(training.counted).toBe(true);
    expect(training.executed / forward.executed).toBeGreaterThan(2.5);
    expect(training.executed / forward.executed).toBeLessThan(4);
    const { pays } = small({ batch: 4, budget: { flops: 100 * 4 * 64 * training.executed } });
    expect(pays).toMatchObject({ steps: 100, tokens: 25_600 });
    expect(pays!.denseSteps).toBe(Math.round((100 * training.executed) / training.dense));
    expect(forwardOnly({ batch: 4, budget: { tokens: 25_600 } }).pays).toMatchObject({ steps: 100, denseSteps: 100 });
  });

  it("takes training for three forward passes where there is no objective, and knows no memory", () => {
    const { forward, training, memory } = forwardOnly({});
    expect(training).toEqual({ executed: 3 * forward.executed, dense: 3 * forward.dense, counted: false });
    expect(memory).toEqual([]);
  });

  it("tells the loss by a curve that is given, and by nothing else", { tags: "long" }, () => {
    const given = { E: "1.69", A: "406.4", alpha: "0.34", B: "410.7", beta: "0.28" };
    const curve = curveOf(new Map(Object.entries(given)));
    // Chinchilla itself: 70 billion parameters, 1.4 trillion tokens.
    expect(lossBy(curve, 70e9, 1.4e12)).toBeCloseTo(1.937, 3);
    expect(small({ budget: { tokens: 64e6 }, curve }).loss).toBe(lossBy(curve, small({}).parameters, 64e6));
    expect(small({ budget: { tokens: 64e6 } }).loss).toBeNull();
    expect(() => curveOf(new Map([["E", "1"]]))).toThrow("the curve lacks A");
    expect(() => curveOf(new Map([["F", "1"]]))).toThrow("a curve has no F");
    expect(() => curveOf(new Map(Object.entries({ ...given, B: "-1" })))).toThrow("the curve's B is not a number");
  });

  it("finds the largest model within the operations, whether they grow in a straight line or not", () => {
    for (const cost of [(n: number) => 10 + 3 * n, (n: number) => (5 + n) ** 2, (n: number) => n - (n % 2)])
      for (const target of [cost(0), cost(1), cost(7) + 0.5, cost(40)]) {
        const found = stepsOfGrowth(cost, target);
        expect(cost(found)).toBeLessThanOrEqual(target);
        expect(cost(found + 1)).toBeGreaterThan(target);
      }
  });

  it("finds the largest model within the memory of the dense one's training", { tags: "long" }, () => {
    const deep = { batch: 8, memory: 2 ** 30 };
    const variantAt = (depth: number, growth = new Map<string, number>()) =>
      planOf(MOBY, { ...SMALL, depth: String(depth) }, { ...deep, growth }).variants[0]!;
    const { largerInMemory, memory } = variantAt(4, new Map([["depth", 1]]));
    const depth = Number(largerInMemory!.set.depth);
    expect(depth).toBeGreaterThan(4);
    expect(variantAt(depth).memory[0]!.use.total).toBeLessThanOrEqual(memory[0]!.dense.total);
    expect(variantAt(depth + 1).memory[0]!.use.total).toBeGreaterThan(memory[0]!.dense.total);
    const unbounded = small({ growth: new Map([["depth", 1]]) });
    expect([unbounded.largerInMemory, memory[0]!.sequences!.executed > 0]).toEqual([null, true]);
  });

  it("is drawn with a bar for each variant, beside that of the dense model", { tags: "long" }, () => {
    const plan = planOf(MOBY, SMALL, { varied: new Map([["capacity", ["12.5%", "50%"]]]) });
    const svg = drawnPlan(plan);
    const panels = 1 + plan.variants[0]!.memory.length;
    expect(svg.match(/<rect [^>]*fill="#2563eb"/g)).toHaveLength(1 + 2 * panels);
    expect(svg).toContain("capacity=12.5%");
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  it.each([
    [{ budget: { flops: 1000 } }, "1000 operations are fewer than one step needs"],
    [{ budget: { tokens: 63 } }, "63 tokens are fewer than the 64 in a step"],
    [{ memory: 2 ** 10 }, "no variant can be trained in 1 KiB on one device"],
    [{ length: 65 }, "--length 65: Moby allows 64"],
    [{ growth: new Map([["width", 1]]) }, "the model has no parameter width to grow"],
    [{ growth: new Map([["capacity", 1]]) }, "capacity is 12.5%: only whole numbers can grow"],
    [{ varied: new Map([["widht", ["1"]]]) }, "`Moby` has no parameter `widht`"],
  ])("refuses %j", (options, message) => {
    expect(() => ("memory" in options ? small : forwardOnly)(options)).toThrow(message);
  });
});

describe("modc budget", () => {
  const args = ["budget", "examples/moby.mod", "--set", "depth=2", "--set", "dim=32", "--length", "64"];

  it("prints tables, and the same as JSON", { tags: "long" }, async () => {
    const text = await run([...args, "--tokens", "1e6", "--memory", "16MiB"]);
    expect(text.stdout).toMatch(/^as it is +[\d.]+ k /m);
    expect(text.stdout).toMatch(/^replicated, bf16, recomputed +[\d.]+ [KM]iB /m);
    expect(text.stdout).toContain("The loss is not known before training");
    const { status, stdout } = await run([...args, "--tokens", "1e6", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      model: "Moby",
      length: 64,
      variants: [{ pays: { steps: 1953 }, memory: [{ sharding: "replicated" }, {}, {}, {}] }],
    });
  });

  it(
    "plans as many tokens as all variants allow, and says where no larger model is paid for",
    { tags: "long" },
    async () => {
      const varied = ["budget", "examples/moby.mod", "--set", "depth=2", "--set", "dim=32", "--vary", "context=64,128"];
      const { status, stdout } = await run(varied);
      expect([status, stdout]).toEqual([0, expect.stringContaining("8 sequences of 64 tokens a step")]);
      expect(stdout).toContain("A larger model, by --grow or by depth, is shown only if");
    },
  );

  it.each([
    [["--flops", "1e9", "--tokens", "1e9"], 2, "--flops and --tokens exclude each other"],
    [["--curve", "E=1"], 2, "--curve predicts the loss after a number of tokens"],
    [["--vary", "depth=2,2"], 2, "2 appears twice"],
    [["--vary", "depth=1", "--vary", "depth=2"], 2, "--vary sets depth twice"],
    [["--vary", "depth=1,2"], 2, "--set and --vary both give depth"],
    [["--vary", "capacity=50%,most"], 1, "--vary capacity:1:10: error[unknown-name]"],
    [["--curve", "E=1,A=1,alpha=x,B=1,beta=1", "--tokens", "1e9"], 2, "--curve: the curve's alpha is not a number"],
    [["--batch", "3", "--devices", "2"], 2, "--batch 3 cannot be divided evenly among --devices 2"],
    [["--grow", "depth=0"], 2, "is not a whole number"],
    [["--tokens", "5"], 1, "are fewer than the 512 in a step"],
  ])("refuses %j", async (more, exit, message) => {
    const { status, stderr } = await run([...args, ...more]);
    expect([status, stderr]).toEqual([exit, expect.stringContaining(message)]);
  });
});
