// The self-test of a GPU's features: conclusions from the lines of the child process, and from a failing process.
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { MATRIX_VECTORS, PINS } from "../../../src/runtime/program/target.js";
import { prove } from "../../../src/runtime/device/device-node.js";
import type { SelfTestLine } from "../../../src/runtime/device/self-test-child.js";
import { attempt, storedResult, storeResult } from "../../../src/runtime/device/self-test-node.js";
import { F16, judge, MATRICES, provenBy, type SelfTest } from "../../../src/runtime/device/self-test.js";
import { childOf } from "../../child.js";
import { testDevice } from "../../device.js";

const cache = mkdtempSync(join(tmpdir(), "modc-self-test-"));
const env = { ...process.env, XDG_CACHE_HOME: cache };
afterAll(() => rmSync(cache, { recursive: true }));

const named = { vendor: "v", device: "d", description: "a GPU: driver 1" };
const adapter = (matrices: number, f16 = true, pins = false, vectors = 0): SelfTestLine => ({
  kind: "adapter",
  ...named,
  f16,
  matrices,
  pins,
  vectors,
});
const sum = (value: number): SelfTestLine => ({ kind: "sum", a: [1], b: [2], sum: [value] });
const product = (value: number, vectors = false): SelfTestLine => ({
  kind: "product",
  vectors,
  m: 1,
  n: 2,
  k: 2,
  left: [1, 2],
  right: [3, 4, 5, 6],
  product: [13, value],
});

/** Two subgroups of two, whose lanes lie in any order. */
const pinned = (more: Partial<Extract<SelfTestLine, { kind: "pinned" }>> = {}): SelfTestLine => ({
  kind: "pinned",
  width: 2,
  sizes: [2, 2, 2, 2],
  places: [0, 2, 1, 3],
  sums: [1, 5, 1, 5],
  ...more,
});

describe("the verdict", () => {
  it.each([
    ["right", [adapter(1), sum(3), product(16)], "ended", "passed", "passed", [F16, MATRICES]],
    [
      "right, and a crash at its end",
      [adapter(1), sum(3), product(16)],
      "crashed",
      "passed",
      "passed",
      [F16, MATRICES],
    ],
    ["no matrix units", [adapter(0), sum(3)], "ended", "passed", "absent", [F16]],
    ["no f16", [adapter(0, false)], "ended", "absent", "absent", []],
    ["a wrong sum", [adapter(1), sum(4), product(16)], "ended", "wrong", "passed", []],
    ["a wrong product", [adapter(1), sum(3), product(17)], "ended", "passed", "wrong", [F16]],
    ["a wrong one among right ones", [adapter(2), sum(3), product(17), product(16)], "ended", "passed", "wrong", [F16]],
    ["a crash before anything", [], "crashed", "crashed", "untested", []],
    ["a crash in the sum", [adapter(1)], "crashed", "crashed", "untested", []],
    ["a crash in the second product", [adapter(2), sum(3), product(16)], "crashed", "passed", "crashed", [F16]],
    ["no end of the product", [adapter(1), sum(3)], "hung", "passed", "hung", [F16]],
    ["nothing of a product", [adapter(1), sum(3)], "ended", "passed", "crashed", [F16]],
  ] as const)("%s", (_, lines, ending, f16, matrices, proven) => {
    const verdict = judge(lines, ending);
    expect(verdict).toMatchObject({ f16, matrices });
    expect(provenBy(verdict)).toEqual(proven);
  });

  const all = adapter(1, true, true, 1);
  const units = [sum(3), product(16)];
  const every = [...units, pinned(), product(16, true)];
  it.each([
    ["right", [all, ...every], "ended", "passed", "passed", [F16, MATRICES, PINS, MATRIX_VECTORS]],
    ["of neither listed", [adapter(1), ...units], "ended", "absent", "absent", [F16, MATRICES]],
    ["without f16", [adapter(0, false, true), pinned()], "ended", "passed", "absent", [PINS]],
    ["crashed in the second", [all, ...units, pinned()], "crashed", "passed", "crashed", [F16, MATRICES, PINS]],
    ["refused in the first", [all, ...units], "ended", "crashed", "untested", [F16, MATRICES]],
    ["hung before both", [all, sum(3)], "hung", "untested", "untested", [F16]],
    [
      "wrong of vectors",
      [all, ...units, pinned(), product(17, true)],
      "ended",
      "passed",
      "wrong",
      [F16, MATRICES, PINS],
    ],
    ...[
      pinned({ sizes: [2, 2, 4, 2] }),
      pinned({ places: [0, 2, 1, 2] }),
      pinned({ sums: [1, 5, 5, 5] }),
      pinned({ sizes: [], places: [], sums: [] }),
    ].map((line) => ["wrong of a width", [all, ...units, line], "ended", "wrong", "crashed", [F16, MATRICES]] as const),
  ] as const)("of widths and vectors, %s", (_, lines, ending, pins, vectors, proven) => {
    const verdict = judge(lines, ending);
    expect(verdict).toMatchObject({ pins, vectors });
    expect(provenBy(verdict)).toEqual(proven);
  });
});

describe("the process", async () => {
  const { info } = await testDevice();
  const f16 = info.features.includes(F16);
  it.runIf(f16)("finds what the device has, or what is wrong with it", { tags: "long" }, async () => {
    const faults = [null, "sum", "product", "abort", "hang", "vectors", "abort-vectors"] as const;
    const found = await Promise.all(
      faults.map((fault) =>
        attempt({ ...env, ...(fault && { MODC_SELF_TEST_FAULT: fault }) }, fault === "hang" ? 1500 : 60_000),
      ),
    );
    expect(found[0]?.adapter?.description).toBe(info.driver);
    expect(["passed", "absent"]).toContain(found[0]?.test.matrices);
    const f16Outcomes = ["passed", "wrong", "passed", "crashed", "hung", "passed", "passed"];
    expect(found.map((one) => one?.test.f16)).toEqual(f16Outcomes);
    expect(found[5]?.test).toMatchObject({ matrices: found[0]?.test.matrices, vectors: "wrong" });
    expect(found[2]?.test.matrices).toBe("wrong");
  });

  it.runIf(f16)("that aborts leaves the device without f16, with one line that says so", { tags: "long" }, async () => {
    const { status, stdout, stderr } = await opened({ retest: true }, { MODC_SELF_TEST_FAULT: "abort" });
    expect(status).toBe(0);
    const { info: without } = JSON.parse(stdout) as { info: typeof info };
    expect(without.name).toBe(info.name);
    expect(without.features).not.toContain(F16);
    const lines = stderr.split("\n").filter((line) => line.includes("ModcWarning"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/the self-test of .* failed \(sums of 16-bit floats: ended the process; .*modc doctor/);
  });

  it.runIf(f16)("is not asked for where the caller wants a safe device", async () => {
    const { stdout, stderr } = await opened({ retest: true }, { MODC_SELF_TEST_FAULT: "abort", MODC_SAFE: "1" });
    expect((JSON.parse(stdout) as { info: typeof info }).info.features).not.toContain(F16);
    expect(stderr).not.toContain("self-test");
    // Nor is anything asked for without it.
    const { stdout: units } = await opened({ matrices: true }, { MODC_SAFE: "1" });
    expect((JSON.parse(units) as { info: typeof info }).info.features).not.toContain(F16);
  });
});

/** What a process tells that opens a device. */
async function opened(
  options: object,
  more: NodeJS.ProcessEnv,
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = childOf(new URL("children/open-device.ts", import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { env: { ...env, ...more } });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (text: string) => (said[stream] += text));
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, ...said })));
}

describe("a verdict that is kept", () => {
  const gpu = { ...named, architecture: "a", isFallbackAdapter: false };
  /** The fields of an adapter that `prove` reads. */
  const listing = (info: object): GPUAdapter => ({ info, features: new Set([F16]) }) as unknown as GPUAdapter;
  const verdict: SelfTest = { f16: "passed", matrices: "crashed", pins: "absent", vectors: "untested" };
  const folder = join(cache, "modc", "self-tests");

  it("belongs to an adapter, its driver and Dawn's version, and is read again", () => {
    expect(storedResult(gpu, env)).toBeNull();
    storeResult(gpu, verdict, env);
    expect(storedResult(gpu, env)).toEqual(verdict);
    expect(storedResult({ ...gpu, description: "a GPU: driver 2" }, env)).toBeNull();
    expect(storedResult({ ...gpu, architecture: "b" }, env)).toBeNull();
    if (process.getuid) expect(statSync(folder).mode & 0o077).toBe(0);
  });

  it("is what a GPU is opened by, with no test and no f16 of a device that only lists it", async () => {
    expect(await prove(listing(gpu), env, {})).toEqual({ proven: [F16], selfTest: verdict });
    expect(await prove(listing(gpu), env, { safe: true })).toEqual({ proven: [], selfTest: null });
    const said: string[] = [];
    const warn = (text: string): void => void said.push(text);
    const other = listing({ ...gpu, description: "a GPU: driver 3" });
    const found = await prove(other, { ...env, MODC_SELF_TEST_FAULT: "sum" }, { warn });
    expect(found).toEqual({ proven: [], selfTest: null });
    expect(said).toEqual([
      expect.stringMatching(/^the self-test of a GPU found another device: modc does not use the untested features; /),
    ]);
  });

  it("is not believed where it is broken, another's, or where others could have written it", () => {
    const path = readdirSync(folder)
      .map((name) => join(folder, name))
      .find((file) => readFileSync(file, "utf8").includes(named.description))!;
    const text = readFileSync(path, "utf8");
    const parts = JSON.parse(text) as object;
    for (const broken of [
      "",
      "{",
      "null",
      "[]",
      JSON.stringify({ ...parts, key: "0" }),
      JSON.stringify({ ...parts, f16: "yes" }),
      JSON.stringify({ ...parts, matrices: undefined }),
      JSON.stringify({ ...parts, pins: true }),
      JSON.stringify({ ...parts, vectors: "fine" }),
      text + " ".repeat(5000),
    ]) {
      writeFileSync(path, broken);
      expect(storedResult(gpu, env), broken.slice(0, 200)).toBeNull();
    }
    storeResult(gpu, verdict, env);
    expect(storedResult(gpu, env)).toEqual(verdict);
    if (!process.getuid) return;
    chmodSync(folder, 0o777);
    expect(storedResult(gpu, env)).toBeNull();
    chmodSync(folder, 0o700);
  });

  it("that cannot be written is no fault", () => {
    const blocked = join(cache, "file");
    writeFileSync(blocked, "");
    storeResult(gpu, verdict, { ...env, XDG_CACHE_HOME: blocked });
    expect(storedResult(gpu, { ...env, XDG_CACHE_HOME: blocked })).toBeNull();
    mkdirSync(join(cache, "empty"));
    expect(storedResult(gpu, { ...env, XDG_CACHE_HOME: join(cache, "empty") })).toBeNull();
  });
});
