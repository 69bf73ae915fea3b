// `modc profile` and `modc run --time`: measurements, output and files.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { TraceEvent } from "../../../src/runtime/index.js";
import { GOLDEN, modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const SMALL = ["examples/moby.mod", "--set", "depth=4", "--set", "dim=32", "--device", "software"] as const;

interface Part {
  readonly name: string;
  readonly ms: number;
  readonly flops: number;
  readonly denseFlops: number;
  readonly ofBest: number;
  readonly rows: { readonly kept: number; readonly of: number } | null;
}
interface Profiled {
  readonly clock: string;
  readonly repeat: number;
  readonly extents: Readonly<Record<string, number>>;
  readonly roofline: { readonly flops: number; readonly readBytes: number; readonly copyBytes: number };
  readonly kernels: readonly Part[];
  readonly layers: readonly Part[];
  readonly works: readonly { readonly ms: number; readonly layer: string; readonly sources: readonly string[] }[];
}

describe("profile", () => {
  it(
    "prints kernels and layers against the device's best, in a hundred columns, and writes a trace",
    { tags: "long" },
    async () => {
      const trace = join(folder.path, "trace.json");
      const { status, stdout, stderr } = await modc(["profile", ...SMALL, "--repeat", "2", "--trace", trace]);
      expect([status, stderr]).toEqual([0, expect.stringContaining(`${trace}: open it at`)]);
      expect(stdout).toMatch(/^Moby, infer forward, B=1 T=256, on \S.*: [\d.]+ ms a run, the median of 2$/m);
      expect(stdout).toMatch(/^peak, measured here: [\d.]+ GFLOP\/s, [\d.]+ [MG]B\/s read, [\d.]+ [MG]B\/s copied$/m);
      expect(stdout).toMatch(/^kernel +calls +ms +of all +GFLOP\/s +GB\/s +of best +limited by$/m);
      expect(stdout).toMatch(/^layers\.1 +32\/256 +[\d.]+ +[\d.]+% .* 0\.\d+$/m);
      expect(stdout).toMatch(/^layers\.0 +all +[\d.]+ +[\d.]+% .* 1\.0000$/m);
      expect(stdout).toMatch(
        /^a routed layer: [\d.]+ ms, .*\na dense one: .*; the routed layer takes [\d.]+% of this time$/m,
      );
      expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);

      const { traceEvents } = JSON.parse(readFileSync(trace, "utf8")) as {
        readonly traceEvents: readonly TraceEvent[];
      };
      const spans = traceEvents.filter((e) => e.ph === "X");
      expect(spans.length).toBeGreaterThan(20);
      for (const e of spans) expect([e.pid, e.ts >= 0, e.dur >= 0]).toEqual([1, true, true]);
      expect(spans.map((e) => e.name)).toEqual(expect.arrayContaining(["layers.0", "layers.1"]));
    },
  );

  it("gives in JSON every work, its layer and its lines; parts add up to the whole", { tags: "long" }, async () => {
    const { status, stdout } = await modc([
      "profile",
      ...SMALL,
      "--batch",
      "2",
      "--length",
      "64",
      "--repeat",
      "3",
      "--json",
    ]);
    expect(status).toBe(0);
    const found = JSON.parse(stdout) as Profiled;
    expect(found).toMatchObject({ extents: { B: 2, T: 64 }, repeat: 3 });
    const sum = (parts: readonly { readonly ms: number }[]): number => parts.reduce((n, p) => n + p.ms, 0);
    expect(sum(found.kernels)).toBeCloseTo(sum(found.works), 6);
    expect(sum(found.layers)).toBeCloseTo(sum(found.works), 6);
    expect(found.layers.find((l) => l.name === "layers.1")!.rows).toEqual({ kept: 16, of: 128, exact: true });
    expect(found.layers.find((l) => l.name === "layers.2")!.rows).toBeNull();
    expect(found.works.every((w) => w.sources.length > 0)).toBe(true);
    for (const rate of Object.values(found.roofline)) expect(rate).toBeGreaterThan(1e8);
  });

  it("takes inputs as `run` does, and values in f16", { tags: "long" }, async () => {
    const { status, stdout } = await modc([
      "profile",
      ...GOLDEN,
      "--activations-as",
      "f16",
      "--repeat",
      "1",
      "--json",
      "--device",
      "software",
    ]);
    expect([status, (JSON.parse(stdout) as Profiled).extents]).toEqual([0, { B: 1, T: 4 }]);
  });

  it.each<[readonly string[], number, string]>([
    [["--repeat", "0"], 2, '--repeat "0" is not a whole number from 1 to 1000'],
    [["--text", "ab", "--length", "2"], 2, "--batch, --length and --at have no effect on given inputs"],
    [["--lengths", "2"], 2, "--lengths needs --input"],
    [
      ["--trace", "/nonexistent/x.json", "--repeat", "1", "--length", "8"],
      1,
      "cannot write /nonexistent/x.json: there is no folder /nonexistent",
    ],
  ])("refuses %j", async (args, exit, message) => {
    const { status, stdout, stderr } = await modc(["profile", ...SMALL, ...args]);
    expect([status, stdout, stderr]).toEqual([exit, "", expect.stringContaining(message)]);
  });

  it("the reference has no kernels to profile", async () => {
    const { status, stderr } = await modc(["profile", "examples/golden.mod", "--device", "reference"]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining("'reference' is invalid. Allowed choices are gpu, software, swiftshader."),
    ]);
  });
});

describe("run --time", () => {
  it("tells compiling, loading, the first run and those after it apart, beside the same results", async () => {
    const plain = await modc(["run", ...GOLDEN, "--device", "software"]);
    const timed = await modc(["run", ...GOLDEN, "--device", "software", "--time"]);
    expect([timed.status, timed.stdout]).toEqual([0, plain.stdout]);
    expect(timed.stderr).toMatch(
      /^time: compile [\d.]+ ms, open the device [\d.]+ ms, load [\d.]+ ms, first run [\d.]+ ms, then [\d.]+ ms a run \(the median of 9\)$/m,
    );
  });
  it("in JSON too, and a compiled program takes no time to compile", async () => {
    const file = join(folder.path, "golden.json");
    await modc(["compile", "examples/golden.mod", "-o", file]);
    const { stdout } = await modc(["run", file, ...GOLDEN.slice(1), "--device", "software", "--time", "--json"]);
    const { milliseconds } = JSON.parse(stdout) as { readonly milliseconds: Readonly<Record<string, number>> };
    expect(milliseconds).toEqual({
      compile: 0,
      device: expect.any(Number),
      load: expect.any(Number),
      first: expect.any(Number),
      steady: expect.any(Number),
      runs: 9,
    });
    for (const name of ["device", "load", "first", "steady"]) expect(milliseconds[name]).toBeGreaterThan(0);
  });
  it("is of a device", async () => {
    const { status, stderr } = await modc(["run", ...GOLDEN, "--device", "reference", "--time"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("--time measures a device")]);
  });
});
