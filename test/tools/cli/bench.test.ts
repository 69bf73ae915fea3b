// `modc bench`: a row for each length, against another model too, and what it refuses.
import { describe, expect, it } from "vitest";
import { benchTable } from "../../../src/tools/cli/bench/bench.js";
import { run } from "./in-process.js";

const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;
const AGAINST = ["--against", "examples/moby.mod", "--against-weights", "examples/moby.safetensors"] as const;

describe("modc bench", () => {
  it(
    "measures each length, after a run that is not counted, with operations, cache and ratios",
    { tags: "long" },
    async () => {
      const { status, stdout, stderr } = await run(["bench", ...MOBY, ...AGAINST, "-p", "8,16", "-n", "4", "-r", "2"]);
      expect(status).toBe(0);
      const [heading, ...rows] = stdout.trimEnd().split("\n");
      expect(heading).toMatch(/^model +test +tokens\/s +a token +of dense +cache +of dense +ratio$/);
      expect(rows.map((row) => row.split(/ +/)[1])).toEqual(["pp8", "pp8", "pp16", "pp16", "tg4", "tg4"]);
      for (const [i, row] of rows.entries())
        expect(row).toMatch(i % 2 === 0 ? /MFLOP .*% .* \d+\.\d+ ± \d+\.\d+$/ : /MFLOP .*%$/);
      expect(stderr).toContain("mean ± standard deviation of 2 runs with random tokens, after one warm-up run");
    },
  );

  it("prints JSON with every sample, and with -n alone reads no prompts", async () => {
    const { status, stdout } = await run(["bench", ...MOBY, "-n", "4", "-r", "3", "--json"]);
    const { tests, ...run_ } = JSON.parse(stdout) as {
      readonly tests: readonly { readonly models: readonly { readonly flops: { own: number; dense: number } }[] }[];
    };
    expect([status, run_]).toEqual([0, expect.objectContaining({ repeat: 3, interrupted: false })]);
    expect(tests).toMatchObject([{ test: "tg4", models: [{ tokensPerSecond: { samples: { length: 3 } } }] }]);
    const { own, dense } = tests[0]!.models[0]!.flops;
    expect(own / dense).toBeGreaterThan(0.4);
    expect(own / dense).toBeLessThan(0.8);
  });

  it.each([
    [["-p", "0", "-n", "0"], 2, "there is nothing to measure"],
    [["-p", "257"], 1, "the model reads at most 256 tokens, but a run would have 257"],
    [["-n", "256"], 1, "the model reads at most 256 tokens, but a run would have 257"],
    [["-p", "x"], 2, '--prompt-tokens "x" is not a whole number'],
    [["--against-weights", "x"], 2, "--against-weights has no effect without --against"],
    [["--against", "none.mod"], 1, "none.mod: there is no such file"],
  ])("refuses %j", async (words, exit, message) => {
    const { status, stdout, stderr } = await run(["bench", ...MOBY, ...words]);
    expect([status, stdout, stderr]).toEqual([exit, "", expect.stringContaining(message)]);
  });
});

it("prints what was measured before an interrupt: a trial with fewer runs, and none without any", () => {
  const sample = (tokensPerSecond: number) => ({ tokensPerSecond, flops: null, cache: { used: 0, dense: 0 } });
  const trial = { kind: "prompt", tokens: 8 } as const;
  const lines = benchTable(
    [{ path: "a" }],
    [
      { trial, samples: [[sample(1), sample(3)]] },
      { trial, samples: [[]] },
    ],
  );
  expect(lines.split("\n").slice(1)).toEqual([expect.stringMatching(/^pp8 +2\.00 ± 1\.41 +- +- /)]);
});
