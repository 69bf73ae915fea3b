// `modc tune` as a user runs it, and what `compile` and `run` make of the file it leaves.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingForNullDevice } from "../../../src/tools/hardware/drivers-node.js";
import type { Bound } from "../../../src/tools/tune/bound.js";
import { modc, NO_DEVICE, root, temporaryFolder, type Ended } from "./spawn.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

const model = folder.file(
  "small.mod",
  `import { Linear } from "std"

model Small() {
  wide:   Linear(24, 72)
  narrow: Linear(72, 40)
  forward(x: f32[B, T <= 4, 24]) -> f32[B, T, 40] { narrow(wide(x)) }
}
`,
);
const env = { XDG_CACHE_HOME: join(folder.path, "cache") };
const tunings = join(folder.path, "cache", "modc", "tunings");
const compiled = join(folder.path, "small.json");

/** The digest of the tunings that `compile` used. */
async function used(...args: readonly string[]): Promise<{ readonly digest: string; readonly ended: Ended }> {
  const ended = await modc(["compile", model, "--device", "best", "-o", compiled, "--json", ...args], { env });
  expect(ended.status, ended.stderr).toBe(0);
  return { digest: (JSON.parse(ended.stdout) as { tunings: string }).tunings, ended };
}

describe("modc tune", () => {
  let tuned: Ended;
  let path: string;
  let written: string;
  /** The digest of the tunings of the device's class. */
  let usual: string;
  beforeAll(async () => {
    tuned = await modc(["tune", model, "--budget", "12s"], { env });
    expect(tuned.status, tuned.stderr).toBe(0);
    path = join(tunings, readdirSync(tunings)[0]!);
    written = readFileSync(path, "utf8");
    usual = (await used("--tunings", "none")).digest;
  });

  it("prints a line for each shape and size, and where it stored what it found", () => {
    expect(tuned.stdout).toMatch(/^workload +size +best +µs +GFLOP\/s +before, µs +ratio +bound\n/);
    for (const shape of ["24 × 72", "72 × 40"])
      for (const rows of [1, 4])
        expect(tuned.stdout).toMatch(
          new RegExp(
            `^product ${shape} +${rows} rows  .+ \\d+\\.\\d{2}  (other|(arithmetic|memory|dispatch) \\d+%)$`,
            "m",
          ),
        );
    expect(tuned.stdout).toContain(path);
    expect(readdirSync(tunings)).toEqual([expect.stringMatching(/^[a-z0-9-]+-[0-9a-f]{12}\.json$/)]);
  });

  it("names the rates that the bounds are shares of", () => {
    expect(tuned.stdout.replaceAll("\n", " ")).toMatch(
      /peak rates of this device, measured now: [\d.]+ GFLOP\/s, reads .*of 1 MiB, .*of 64 MiB, [\d.]+ µs for a dispatch/,
    );
  });
  it("says with --json what bounds the best kernels, and which they are", { tags: "long" }, async () => {
    const ended = await modc(["tune", model, "--budget", "8s", "--json", "-o", join(folder.path, "bounds.json")], {
      env,
    });
    expect(ended.status, ended.stderr).toBe(0);
    const { best, measured } = JSON.parse(ended.stdout) as {
      best: { flops: number; dispatchSeconds: number; reads: { bytes: number; seconds: number }[] };
      measured: { seconds: number; flops: number; bytes: number; bound: Bound; tunings?: unknown }[];
    };
    expect(measured.length).toBeGreaterThan(0);
    for (const { seconds, flops, bound, tunings } of measured) {
      expect(bound.shares.arithmetic).toBeCloseTo(flops / best.flops / seconds, 6);
      expect(bound.shares.dispatch).toBeGreaterThanOrEqual(best.dispatchSeconds / seconds - 1e-9);
      expect(bound.kernels).toEqual([expect.stringMatching(/^matmul/)]);
      expect(tunings).toBeUndefined();
    }
  });
  it.skipIf(missingForNullDevice(process.env, "AMD") !== null)(
    "says with --hardware what holds up the best kernels on a card that is not there",
    { tags: "long" },
    async () => {
      const args = ["tune", model, "--budget", "8s", "--json", "--hardware", "navi31"];
      const ended = await modc([...args, "-o", join(folder.path, "card.json")], { env });
      expect(ended.status, ended.stderr).toBe(0);
      const { measured, hardware } = JSON.parse(ended.stdout) as {
        measured: unknown[];
        hardware: { card: string; misfit: string | null; kernels: { by: string; us: number; roofUs: number }[] }[];
      };
      expect(hardware).toHaveLength(measured.length);
      for (const { card, misfit, kernels } of hardware) {
        expect(card).toBe("navi31");
        if (misfit !== null) expect([kernels, misfit]).toEqual([[], expect.stringMatching(/^products need subgroups/)]);
        else for (const { by, us } of kernels) expect([by.length > 0, us > 0]).toEqual([true, true]);
      }
    },
  );

  describe("leaves a file that", () => {
    const PLAIN = [{ most: null, tuning: { kind: "plain" } }];
    const edited = (
      edit: (file: {
        kernels: string;
        adapter: { name: string };
        tunings: { products: Record<string, unknown> };
      }) => void,
    ): string => {
      const file = JSON.parse(written) as Parameters<typeof edit>[0]; // as tune wrote it
      edit(file);
      return JSON.stringify(file);
    };
    const plain = (): string =>
      edited(
        (f) =>
          void (f.tunings.products = { ...f.tunings.products, byWeight: PLAIN, byWeightAnyRows: PLAIN, shapes: [] }),
      );

    it("compile takes by itself, and not where none is wanted", async () => {
      writeFileSync(path, plain());
      const [own, named] = [await used(), await used("--tunings", path)];
      expect(own.ended.stderr).toBe("");
      expect(own.digest).not.toBe(usual);
      expect(named.digest).toBe(own.digest);
      const kernels = (JSON.parse(readFileSync(compiled, "utf8")) as { kernels: { name: string }[] }).kernels.map(
        (k) => k.name,
      );
      expect(kernels.some((k) => k.startsWith("matmul."))).toBe(true);
    });
    it("compile takes by name without a device, for such a one", async () => {
      writeFileSync(path, plain());
      const ended = await modc(["compile", model, "--tunings", path, "-o", compiled, "--json"], {
        env: { ...env, ...NO_DEVICE },
      });
      expect(ended.status, ended.stderr).toBe(0);
      expect(JSON.parse(ended.stdout)).toMatchObject({
        target: (JSON.parse(written) as { target: { device: string } }).target.device,
      });
    });
    it("run takes, and the results agree with the reference", async () => {
      writeFileSync(path, plain());
      const x = JSON.stringify([[Array.from({ length: 24 }, (_, i) => i / 7)]]);
      expect(await modc(["run", model, "--input", `x=${x}`, "--check"], { env })).toMatchObject({
        status: 0,
        stdout: expect.stringContaining("agrees"),
      });
    });

    it.each([
      ["corrupted", (): string => written.slice(0, 300), /not a file of tunings: it is not JSON/],
      [
        "another device's",
        (): string => edited((f) => void (f.adapter.name = "Other GPU")),
        /it was measured on Other GPU/,
      ],
      [
        "for other kernels",
        (): string => edited((f) => void (f.kernels = "0123456789abcdef")),
        /measured with other kernels.*`modc tune`/s,
      ],
      [
        "of tiles that no kernel has",
        (): string => edited((f) => void (f.tunings.products["panel"] = 7)),
        /panel must be a multiple of 4/,
      ],
    ])(
      "is %s: passed over with a warning where it is found, refused where it is named",
      async (_name, content, message) => {
        writeFileSync(path, content());
        const own = await used();
        expect(own.digest).toBe(usual);
        expect(own.ended.stderr.match(/^warning: .* is ignored: /gm)).toHaveLength(1);
        expect(own.ended.stderr).toMatch(message);
        const named = await modc(["compile", model, "--device", "best", "--tunings", path, "-o", compiled], { env });
        expect(named.status).toBe(1);
        expect(named.stderr).toMatch(message);
      },
    );
  });

  it("keeps what it found when it is interrupted", { tags: "long" }, async () => {
    const output = join(folder.path, "interrupted.json");
    const args = [join(root, "dist/src/cli/main.js"), "tune", model, "--budget", "12s", "--output", output, "--fresh"];
    const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let [said, sent] = ["", false];
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      // The second shape is begun: the first is measured. Once, for a second interrupt ends the process.
      if (!sent && /measuring product .*measuring product/s.test(said)) sent = child.kill("SIGINT");
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect(status, said).toBe(130);
    expect(JSON.parse(readFileSync(output, "utf8"))).toMatchObject({ format: "modc-tunings" });
  });

  it("says so where there was no time to compare anything", async () => {
    const output = join(folder.path, "short.json");
    const { status, stderr } = await modc(["tune", model, "--budget", "0.001", "-o", output], { env });
    expect(status).toBe(1);
    expect(stderr).toMatch(/in 0\.001 s[^]*give it more time: --budget 2m/);
    expect(readdirSync(folder.path)).not.toContain("short.json");
  });
  it("ends with 3 where there is no GPU", async () => {
    expect(await modc(["tune", model], { env: { ...env, ...NO_DEVICE } })).toMatchObject({ status: 3 });
  });
  it.each([
    ["a budget that is not a time", ["--budget", "soon"], /--budget "soon" is not a time up to a day/],
    [
      "the reference",
      ["--device", "reference"],
      /'reference' is invalid\. Allowed choices are gpu, software, swiftshader\./,
    ],
  ])("refuses %s", async (_name, args, message) => {
    const { status, stderr } = await modc(["tune", model, ...args], { env });
    expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
  it.each([
    ["a folder", folder.path, /cannot write .*: it is a folder/],
    ["a file in no folder", join(folder.path, "nowhere", "t.json"), /cannot write .*: there is no folder .*nowhere/],
    ["a file in a file", join(model, "t.json"), /cannot write .*: its folder is not one/],
  ])("refuses %s for its output before it measures anything", async (_name, output, message) => {
    const { status, stderr } = await modc(["tune", model, "--budget", "1h", "-o", output], { env });
    expect([status, stderr]).toEqual([1, expect.stringMatching(message)]);
    expect(stderr).not.toContain("measuring");
  });
  it("refuses a compiled program", async () => {
    const { status, stderr } = await modc(["tune", compiled], { env });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/is already compiled: its kernels are chosen/)]);
  });
  it("has nothing to measure in a model without products", async () => {
    const plain = folder.file(
      "plain.mod",
      "model Plain() {\n  forward(x: f32[B, T, 2]) -> f32[B, T, 2] { x + x }\n}\n",
    );
    const { status, stderr } = await modc(["tune", plain, "--budget", "5s"], { env });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/has neither matmuls with weights nor attention/)]);
  });
});
