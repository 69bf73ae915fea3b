// Workers of a tokenizer: when they rest, end, and are replaced.
import { EventEmitter } from "node:events";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Workers } from "../../../src/models/tokenizer/apart-node.js";
import type { FromWorker, ToWorker } from "../../../src/models/tokenizer/worker.js";

let made: Answering[] = [];

/** In place of a thread: answers each message at once with its number. */
class Answering extends EventEmitter {
  ended = false;
  readonly #number = made.push(this);

  postMessage({ kind }: ToWorker): void {
    const reply: FromWorker = { kind: "result", value: kind === "open" ? null : [this.#number] };
    if (!this.ended) queueMicrotask(() => this.emit("message", reply));
  }

  terminate(): void {
    this.ended = true;
    this.emit("exit");
  }

  ref(): void {}
  unref(): void {}
}

const threads = createRequire(import.meta.url)("node:worker_threads") as { Worker: unknown };
const { Worker: real } = threads;
const replace = (worker: unknown): void => {
  threads.Worker = worker;
  syncBuiltinESMExports();
};

beforeEach(() => {
  made = [];
  replace(Answering);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  replace(real);
});

const MINUTE = 60_000;

describe("workers", () => {
  const opened = (): Workers => new Workers({ json: "{}", file: "x.json", config: null, template: null });
  const encode = (workers: Workers) => workers.ask({ kind: "encode", text: "a", template: false }, 1);

  it("rest once, however often they are asked whether one is ready", async () => {
    const workers = opened();
    for (let i = 0; i < 3; i++) await workers.ready();
    expect(made).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(1);
    expect(await encode(workers)).toEqual([1]);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(MINUTE);
    expect(made[0]!.ended).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(await encode(workers)).toEqual([2]);
  });

  it("that ended while they had nothing to do are replaced", async () => {
    const workers = opened();
    await workers.ready();
    for (let number = 2; number < 6; number++) {
      const last = made.at(-1)!;
      last.terminate();
      expect(await encode(workers)).toEqual([number]);
    }
    vi.advanceTimersByTime(MINUTE);
    expect(made.every(({ ended }) => ended)).toBe(true);
  });
});
