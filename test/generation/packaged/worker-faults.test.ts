// A worker that ends by itself, and what its end keeps of calls: both ends of the messages, without a model.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { LoadedModel, PackagedModel } from "../../../src/generation/packaged/model.js";
import type { Reply, Request } from "../../../src/generation/packaged/worker-messages.js";
import { Answers } from "../../../src/generation/packaged/worker-thread.js";
import { workerModel } from "../../../src/generation/packaged/worker.js";

const folder = mkdtempSync(join(tmpdir(), "modc-worker-faults-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SCRIPT = `
const { parentPort } = require("node:worker_threads");
parentPort.on("message", ({ kind, id }) => {
  if (kind === "load") parentPort.postMessage({ kind: "loaded", id, device: "none" });
  if (kind === "run") throw new Error("out of order");
  if (kind === "dispose") parentPort.close();
});`;

/** The model of a package whose worker has this script; null: none. */
function modelOf(name: string, script: string | null): PackagedModel {
  if (script !== null) writeFileSync(join(folder, "worker-thread.js"), script);
  const start = (): Worker => {
    throw new Error("it is no page");
  };
  return workerModel(name, start, `${pathToFileURL(folder).href}/${script === null ? "none/" : ""}`);
}

describe("a worker that ends by itself", () => {
  it("has lost its device: all calls reject with that error, and `lost` resolves", async () => {
    const loaded = await modelOf("crashing", SCRIPT).load();
    const ended = { code: "device-lost", message: "the device was lost: the worker has ended: out of order" };
    const [one, other] = [loaded.run({}), loaded.run({})];
    await expect(one).rejects.toMatchObject(ended);
    await expect(other).rejects.toMatchObject(ended);
    await expect(loaded.run({})).rejects.toBe(await loaded.lost);
    expect(await loaded.lost).toMatchObject({ ...ended, reason: "unknown", cause: { message: "out of order" } });
    loaded.dispose();
  });

  it("before it has loaded says whether its script was there", async () => {
    const throwing = modelOf("throwing", "throw new TypeError('broken')").load();
    await expect(throwing).rejects.toMatchObject({ name: "PackageError", code: "worker-ended" });
    await expect(modelOf("missing", null).load()).rejects.toMatchObject({ code: "download-failed" });
  });
});

describe("the thread's end of a worker", () => {
  /** Answers for a model whose calls fail, and the signals of these calls. */
  async function failing() {
    const signals: (AbortSignal | undefined)[] = [];
    const fail = (signal: AbortSignal | undefined): never => {
      signals.push(signal);
      throw new Error("no");
    };
    const loaded: LoadedModel = {
      device: "none",
      lost: new Promise(() => {}),
      run: async (_, options) => fail(options?.signal),
      // oxlint-disable-next-line require-yield
      async *generate(_, options) {
        return fail(options?.signal);
      },
      dispose() {},
    };
    let ask: (request: Request) => void = () => {};
    let replied: (reply: Reply) => void = () => {};
    const asked = (request: Request): Promise<Reply> =>
      new Promise((resolve) => {
        replied = resolve;
        ask(request);
      });
    const port = { post: (reply: Reply) => replied(reply), listen: (on: typeof ask) => void (ask = on), end() {} };
    let loads = 0;
    const load: PackagedModel["load"] = async (options) => (loads++ === 0 ? loaded : fail(options?.signal));
    new Answers({ name: "failing", load }, port).listen();
    expect((await asked({ kind: "load", id: 1, options: {} })).kind).toBe("loaded");
    return { asked, ask: (request: Request) => ask(request), signals };
  }

  it.each<Request & { readonly id: number }>([
    { kind: "load", id: 2, options: {} },
    { kind: "run", id: 2, inputs: {}, options: {} },
    { kind: "next", id: 2, begin: { prompt: "a", options: {} } },
  ])("forgets a call that fails: $kind", async (request) => {
    const { asked, ask, signals } = await failing();
    expect(await asked(request)).toMatchObject({ kind: "failed", error: { message: "no" } });
    ask({ kind: "abort", id: 2 });
    expect(signals.map((signal) => signal?.aborted)).toEqual([false]);
  });
});
