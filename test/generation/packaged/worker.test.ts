// A package's model in a worker thread of Node: the API and the tokens of one that is not, and an end that frees all.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generationOf, packageOf, programOf, startingWeights } from "../../tools/build/packages.js";
import { root } from "../../tools/cli/spawn.js";

const MOBY = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const SMALL = { dim: 32, depth: 2, context: 64 };
const folder = mkdtempSync(join(tmpdir(), "modc-worker-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MAIN = `
const texts = async (model) => {
  const loaded = await model.load();
  const tokens = [];
  const generated = loaded.generate({ prompts: ["Call me", [83, 111]] }, { maxTokens: 6, sampling: { temperature: 1, logitBias: new Map([[10, -5]]) } });
  let next = await generated.next();
  for (; !next.done; next = await generated.next()) tokens.push(next.value);
  const { promptTokens, generatedTokens } = next.value;
  const { output } = await loaded.run({ tokens: [[67, 97]] });
  loaded.dispose();
  const lost = await loaded.lost;
  return { device: loaded.device, tokens, promptTokens, generatedTokens, output, nested: output.toArray(), lost: lost.name };
};
const fault = (error) => ({ is: error instanceof Error, name: error.name, code: error.code, message: error.message, hint: error.hint });
const failing = async (promise) => promise.then(() => null, fault);
const { default: inWorker } = await import("./package/worker.js");
const { default: alone } = await import("./package/index.js");
const found = { alone: await texts(alone), worker: await texts(inWorker) };
const stages = new Set();
const loaded = await inWorker.load({ use: "generate", onProgress: ({ stage }) => stages.add(stage) });
const all = async (...asked) => { let text = ""; for await (const token of loaded.generate(...asked)) text += token.text; return text; };
found.stages = [...stages];
found.refused = await failing(all([999]));
found.use = await failing(loaded.run({ tokens: [[1]] }));
found.uncloned = await failing(all("a", { sampling: { seed: () => 1 } }));
const control = new AbortController();
const aborted = all("Call me", { signal: control.signal });
setTimeout(() => control.abort(new RangeError("mine")), 20);
found.aborted = await failing(aborted);
found.abortedBefore = await failing(all("Call me", { signal: AbortSignal.abort(new RangeError("mine")) }));
for await (const _ of loaded.generate("a")) break; // a loop that is left ends its turn
found.after = (await all("a", { maxTokens: 3 })).length;
const held = loaded.generate("Ishmael");
await held.next(); // and the next call waits for its turn
const under = all("Call me");
loaded.dispose();
loaded.dispose();
found.disposed = [await failing(under), await failing(all("a"))];
found.device = await failing(inWorker.load({ device: {} }));
found.loading = await failing(inWorker.load({ signal: AbortSignal.abort(new RangeError("mine")) }));
const { writeFileSync } = await import("node:fs");
writeFileSync("package/worker-thread.js", "throw new TypeError('broken')");
found.broken = await failing(inWorker.load());
console.log(JSON.stringify(found));
`;

let found: Readonly<Record<string, unknown>>;
let status: number | null;
beforeAll(async () => {
  const run = programOf(MOBY, SMALL);
  const programs = { run, generation: generationOf(MOBY, SMALL) };
  const { files } = await packageOf(run, { programs, weights: startingWeights(run) });
  for (const [file, bytes] of files) {
    const place = join(folder, "package", file);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, bytes);
  }
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(join(root, "node_modules", "webgpu"), join(folder, "node_modules", "webgpu"), "dir");
  writeFileSync(join(folder, "main.mjs"), MAIN);
  const process_ = spawnSync(process.execPath, ["main.mjs"], { cwd: folder, encoding: "utf8", timeout: 170_000 });
  status = process_.status;
  found = JSON.parse(process_.stdout || JSON.stringify({ stderr: process_.stderr })) as typeof found;
}, 180_000);

describe("a package's model in a worker thread", () => {
  it("generates and runs as it does without one", () => {
    expect(found["worker"]).toEqual(found["alone"]);
    expect(found["worker"]).toMatchObject({ promptTokens: 9, generatedTokens: 12, lost: "DeviceLostError" });
    expect(found["stages"]).toEqual(expect.arrayContaining(["download", "weights"]));
  });

  it("passes errors with their names, codes and hints", () => {
    expect(found["refused"]).toMatchObject({ is: true, name: "InputError", code: "bad-input" });
    expect(found["use"]).toMatchObject({
      name: "UnsupportedError",
      code: "unsupported",
      hint: "load it without `use`",
    });
    expect(found["device"]).toMatchObject({ name: "UnsupportedError", code: "unsupported" });
    expect(found["uncloned"]).toMatchObject({ name: "DataCloneError" });
    expect(found["broken"]).toMatchObject({ name: "PackageError", message: "the worker has ended: broken" });
  });

  it("ends a call by the reason of its signal, and a loop that is left, and goes on", () => {
    const mine = { name: "RangeError", message: "mine" };
    expect([found["aborted"], found["abortedBefore"], found["loading"]]).toMatchObject([mine, mine, mine]);
    expect(found["after"]).toBe(3);
  });

  it("ends the thread when it is disposed of", () => {
    const disposed = { name: "DisposedError", code: "disposed" };
    expect(found["disposed"]).toMatchObject([disposed, disposed]);
    expect(status, "the process ends by itself").toBe(0);
  });
});
