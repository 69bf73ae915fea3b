// `modc plan` and `modc cost`: what a model becomes, from where, at what cost and in how much memory.
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { memoryOf, parseProgram } from "../../../src/runtime/index.js";
import type { PlannedWork } from "../../../src/tools/cli/program/planned.js";
import { readFileSync } from "node:fs";
import { missingForNullDevice } from "../../../src/tools/hardware/drivers-node.js";
import { modc, NO_DEVICE, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const SMALL = ["examples/moby.mod", "--set", "depth=2", "--set", "dim=32"] as const;

interface Plan {
  readonly target: { readonly device: string };
  readonly extents: Readonly<Record<string, number>>;
  readonly works: readonly PlannedWork[];
  readonly memory: Readonly<Record<string, number>>;
}

async function fine(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await modc(args);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}
const planOf = async (...args: readonly string[]): Promise<Plan> =>
  JSON.parse(await fine("plan", ...args, "--json")) as Plan;

describe("plan", () => {
  it("prints for each kernel what it computes, from which lines, on what, at what cost, in a hundred columns", async () => {
    const text = await fine("plan", ...SMALL, "--target", "portable");
    expect(text).toMatch(/^Moby, infer forward, B=1 T=256, for portable\n/);
    // The tuning beside the cost, or below it where a line has no room.
    const cost = / +\d+ workgroups? +[\d.]+ [kM]FLOP +[\d.]+ [KM]iB(?:\n {6}tuning +| {2})\S/;
    expect(text).toMatch(new RegExp(`^ +\\d+ {2}matmul\\w*\\.\\d+${cost.source}`, "m"));
    expect(text).toMatch(/^ {6}computes +.*matmul/m);
    expect(text).toMatch(/^ {6}from +std\/linear\.mod:\d+/m);
    expect(text).toMatch(/^ {6}rows +32 of 256, 12\.5% of the operations of all$/m);
    expect(text).toMatch(/^ {6}reads +.*layers\.0\.inner\.mlp\.down\.weight/m);
    expect(text).toMatch(/^ {6}writes +output$/m);
    expect(text).toMatch(/^\d+ dispatches of \d+ kernels$/m);
    expect(text).toMatch(/^memory of a session [\d.]+ [KM]iB: [^:]*weights [\d.]+ KiB/m);
    expect(text.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });

  it("puts operators in the order they are evaluated, the one a kernel is named for in brackets", async () => {
    expect(await fine("plan", ...SMALL, "--target", "portable")).toMatch(/computes {2}.*\[\w+\]/);
  });

  it("is for the sizes that are asked for, in JSON too", async () => {
    const { extents, works } = await planOf(...SMALL, "--target", "portable", "--batch", "2", "--length", "64");
    expect(extents).toEqual({ B: 2, T: 64 });
    expect(works.map((w) => w.number)).toEqual(works.map((_, i) => i + 1));
    const routed = works.filter((w) => w.cost.rows !== null);
    expect(routed.length).toBeGreaterThan(0);
    for (const { cost, path } of routed)
      expect([cost.rows, path.startsWith("layers.1")]).toEqual([{ kept: 16, of: 128, exact: true }, true]);
    for (const w of works) expect([w.ops[w.main] !== undefined, w.sources.length > 0]).toEqual([true, true]);
  });

  it.each(["portable", "mesa-software", "swiftshader", "integrated", "discrete"])(
    "needs no device to plan for %s",
    { tags: "long" },
    async (target) => {
      const { status, stdout } = await modc(["plan", ...SMALL, "--target", target, "--json"], { env: NO_DEVICE });
      expect(status).toBe(0);
      expect((JSON.parse(stdout) as Plan).target.device).toBe(target);
    },
  );

  it("is for any device where there is none, and says so", { tags: "long" }, async () => {
    const { status, stdout, stderr } = await modc(["plan", ...SMALL], { env: NO_DEVICE });
    expect([status, stdout.split("\n")[0], stderr]).toEqual([
      0,
      "Moby, infer forward, B=1 T=256, for portable",
      expect.stringContaining("note: no device was found: planned for any"),
    ]);
  });

  it("takes a compiled program as it is", async () => {
    const file = join(folder.path, "moby.json");
    await fine("compile", ...SMALL, "-o", file);
    // A program names its source from the model's folder.
    const whole = JSON.stringify((await planOf(...SMALL, "--target", "portable")).works);
    expect((await planOf(file)).works).toEqual(JSON.parse(whole.replaceAll("examples/moby.mod", "moby.mod")));
    const { status, stderr } = await modc(["plan", file, "--target", "discrete"]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining("is already compiled, for portable: --target has no effect"),
    ]);
  });

  it.each<[readonly string[], number, string]>([
    [["--length", "257"], 1, "--length 257: the model allows 256\n  hint: --set context=257 allows it"],
    [["--batch", "0"], 2, '--batch "0" is not a whole number from 1 to 4294967295'],
    [["--at", "T=1e3"], 2, "--at T=1000: the length of a sequence is set by --length"],
    [
      ["--length", "8", "--at", "T=8"],
      2,
      "--at T=8: the length of a sequence is set by --length\n  hint: write --length 8",
    ],
    [["--at", "Q=8"], 1, "--at: the model has no axis Q"],
    [["--target", "toaster"], 2, "Allowed choices are portable, mesa-software"],
  ])("refuses %j", async (args, exit, message) => {
    const { status, stdout, stderr } = await modc(["plan", ...SMALL, ...args]);
    expect([status, stdout, stderr]).toEqual([exit, "", expect.stringContaining(message)]);
  });
});

describe("cost", () => {
  it("tells the memory of a session, to the byte, at any batch and length", async () => {
    const file = join(folder.path, "program.json");
    await fine("compile", ...SMALL, "-o", file);
    const program = parseProgram(readFileSync(file, "utf8"));
    for (const [B, T] of [
      [1, 256],
      [3, 64],
    ] as const) {
      const { memory } = JSON.parse(
        await fine("cost", ...SMALL, "--batch", String(B), "--length", String(T), "--json"),
      ) as Plan;
      expect(memory).toEqual(memoryOf(program, { max: { B, T } }));
    }
    expect(await fine("cost", ...SMALL)).toMatch(/^memory of a session [\d.]+ [KM]iB: [^:]*weights [\d.]+ KiB/m);
  });
});

describe("caches", () => {
  it("are told by their parts, by plan and cost alike", async () => {
    const step = ["examples/variants/packed.mod", "--program", "step", "--length", "256"] as const;
    const parts = {
      keys: { bytes: 655_360, each: 4096 },
      pairs: { bytes: 3072, each: 24 },
      states: { bytes: 8, each: 8 },
    };
    const planned = JSON.parse(await fine("plan", ...step, "--target", "portable", "--json")) as { caches: unknown };
    const counted = JSON.parse(await fine("cost", ...step, "--json")) as {
      caches: unknown;
      total: { executed: { cache: number } };
    };
    // Keys and values of 128 numbers in 4 layers, of which 2 keep a quarter of the tokens; 3 numbers of 4 bytes a key
    // in each of them; the last separator's place and count of the text.
    expect([planned.caches, counted.caches, counted.total.executed.cache]).toEqual([parts, parts, 658_440]);
    const lines = [
      "caches 643.0 KiB: keys and values 640 KiB (4 KiB for a token in every layer),",
      "                  values of pairs 3 KiB (24 B for a token in every layer),",
      "                  states of recurrences 8 B (8 B for a sequence)",
    ].join("\n");
    expect(await fine("plan", ...step, "--target", "portable")).toContain(`\n${lines}\n`);
    expect(await fine("cost", ...step)).toContain(`\n${lines}\n`);
  });

  it("are none of a program that does not generate", async () => {
    expect(await fine("plan", ...SMALL, "--target", "portable")).not.toMatch(/^caches/m);
  });

  it("of a step cost what one token costs, where an input beside the tokens is longer", async () => {
    const counted = JSON.parse(
      await fine("cost", "examples/inputs/translate.mod", "--program", "step", "--length", "256", "--json"),
    ) as { tokens: number };
    expect(counted.tokens).toBe(1);
  });
});

describe("plan --hardware", () => {
  it(
    "says what to install, and ends with the status of a missing device, where the driver is not there",
    { tags: "long" },
    async () => {
      const { status, stdout, stderr } = await modc(["plan", ...SMALL, "--hardware", "navi31"], {
        env: { ...NO_DEVICE, CC: "no-such-compiler" },
      });
      expect([status, stdout]).toEqual([3, ""]);
      expect(stderr).toMatch(/(RADV|C compiler|Linux)/);
      expect(stderr).toMatch(/apt-get install|use Linux/);
    },
  );

  it("says how to get Intel's driver where it is not there", async () => {
    const env = { ...process.env, MODC_INTEL_DRIVER: "/nowhere" };
    const { status, stderr } = await modc(["plan", ...SMALL, "--hardware", "dg2"], { env });
    expect(status).toBe(3);
    expect(stderr).toMatch(/mesa-intel\.mjs|use Linux/);
  });

  it.skipIf(missingForNullDevice(process.env, "Intel") !== null)(
    "tells static counts of Intel's GPUs",
    { tags: "long" },
    async () => {
      const text = await fine("plan", ...SMALL, "--hardware", "dg2", "--length", "64");
      expect(text).toMatch(
        /for Intel's Arc A770M, which is not present\nStatic counts by the compiler, not measurements/,
      );
      expect(text).toMatch(
        /^ {6}\d+ workgroups?, subgroups of 16, \d+ instructions, \d+ messages, \d+ cycles, none spilled/m,
      );
      expect(text).toMatch(
        /^\d+ dispatches, of which (none spills or has scratch|1 spills or has scratch|\d+ spill or have scratch)$/m,
      );
    },
  );

  it("names one device, and compiles for it", async () => {
    const both = await modc(["plan", ...SMALL, "--hardware", "navi31", "--target", "portable"]);
    expect([both.status, both.stdout]).toEqual([2, ""]);
    const unknown = await modc(["plan", ...SMALL, "--hardware", "voodoo2"]);
    expect(unknown.status).toBe(2);
  });

  it.skipIf(missingForNullDevice(process.env) !== null)(
    "tells facts and estimates apart",
    { tags: "long" },
    async () => {
      const text = await fine("plan", ...SMALL, "--hardware", "navi31", "--length", "64");
      expect(text).toMatch(/for a Radeon RX 7900 XTX that is not present\nTimes are estimates from machine code, not/);
      expect(text).toMatch(/^ +1 {2}\S+/m);
      expect(text).toMatch(/^ {6}facts +\d+ workgroups? of \d+, subgroups of \d+, \d+ registers, none spilled/m);
      expect(text).toMatch(/^ {6}time +estimated [\d.]+ µs, limited by \w+/m);
      expect(text.split("\n").filter((line) => line.length > 100)).toEqual([]);
    },
  );
});
