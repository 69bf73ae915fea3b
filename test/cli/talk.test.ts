// A conversation as `modc chat` has it, with an engine that says what it is told to: what is kept of it, and its seeds.
import { readFileSync } from "node:fs";
import { afterEach, expect, it, vi } from "vitest";
import { Talk } from "../../src/cli/chat/talk.js";
import type { Sampling } from "../../src/cli/generate/sampling.js";
import { withIo } from "../../src/cli/terminal/io.js";
import { Progress } from "../../src/cli/terminal/terminal.js";
import { compileGeneration } from "../../src/compile-generation.js";
import { bytesTokenizer, type ChatTemplate } from "../../src/tokenizer/index.js";
import { bytes, CHAT } from "../serve/asked.js";
import { ScriptedEngine } from "../serve/scripted-engine.js";

const source = readFileSync(new URL("../../examples/moby.mod", import.meta.url), "utf8");
const { generation } = compileGeneration(source, { caches: "pages" });

afterEach(() => vi.useRealTimers());

interface Said {
  readonly chat?: ChatTemplate | null;
  readonly sampling?: Sampling["sampling"];
  /** Of the checkpoint. */
  readonly defaults?: Sampling["sampling"];
  /** How many tokens of the i-th answer come before an interrupt; null: all. */
  readonly stopAt?: (answer: number) => number | null;
  /** What is done before each token of an answer. */
  readonly before?: (progress: Progress) => void;
  /** Whether both streams are one terminal. */
  readonly terminal?: boolean;
}

/** A conversation of these lines at a terminal, each answered by "Aye": the engine's requests, and what is said. */
async function talk(lines: readonly string[], said: Said = {}) {
  const { chat = CHAT, sampling = {}, defaults = {}, stopAt, before, terminal = false } = said;
  let stop = (): void => {};
  const progress = new Progress();
  const engine = new ScriptedEngine({
    says: () => bytes("Aye"),
    before: (_, index) => {
      before?.(progress);
      if (stopAt?.(engine.requests.length - 1) === index) stop();
    },
  });
  const left = [...lines];
  let [stderr, all] = ["", ""];
  const out = { isTTY: terminal, write: (text: string) => (all += text) };
  const err = { isTTY: terminal, write: (text: string) => (stderr += ((all += text), text)) };
  await withIo({ stdout: out, stderr: err, env: {} }, () =>
    new Talk(
      {
        name: "Moby",
        engine,
        generation,
        texts: {
          tokenizer: bytesTokenizer,
          chat,
          info: null,
          defaults: { sampling: defaults, maxTokens: null, ends: [], ignored: [] },
        },
        device: { info: { name: "a device" } },
      },
      {
        attended: true,
        next: () => Promise.resolve(left.shift() ?? null),
        onInterrupt(heard) {
          stop = heard;
          return () => (stop = () => {});
        },
        close: () => {},
      },
      progress,
      {},
      { sampling, stop: [], maxTokens: null },
    ).untilEnd(),
  );
  const prompts = engine.requests.map(({ prompt }) => new TextDecoder().decode(Uint8Array.from(prompt)));
  return { prompts, seeds: engine.requests.map((request) => request.sampling?.seed), stderr, all };
}

it("keeps what was said of an answer that is stopped, and nothing of one that had not begun, its message neither", async () => {
  const stopAt = (answer: number): number | null => [null, 0, 2][answer] ?? null;
  const lines = ["One", "Two", "Three", "Four"];
  const { prompts, stderr } = await talk(lines, { stopAt });
  expect(prompts).toEqual([
    "<user>One<assistant>",
    "<user>One<assistant>Aye<user>Two<assistant>",
    "<user>One<assistant>Aye<user>Three<assistant>",
    "<user>One<assistant>Aye<user>Three<assistant>Ay<user>Four<assistant>",
  ]);
  expect(stderr).toMatch(/\nstopped before the answer began: the message is left out\nstopped\n$/);
  const plain = await talk(lines, { stopAt, chat: null });
  expect(plain.prompts.at(-1)).toBe("OneAye\nThreeAy\nFour");
});

it("draws each answer by a new seed, by the next one where a first is given, and by none where nothing is drawn", async () => {
  const lines = ["One", "Two", "Three"];
  expect((await talk(lines, { sampling: { seed: 0 } })).seeds).toEqual([0, 1, 2]);
  expect((await talk(lines)).seeds).toEqual([undefined, undefined, undefined]); // greedy
  for (const drawn of [{ sampling: { temperature: 0.7 } }, { defaults: { topP: 0.9 } }]) {
    const seeds = [...(await talk(lines, drawn)).seeds, ...(await talk(lines, drawn)).seeds];
    expect(seeds.every((seed) => Number.isSafeInteger(seed))).toBe(true);
    expect(new Set(seeds).size).toBe(6);
  }
});

it("tells of progress before an answer, and never within it on the same terminal", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const before = (progress: Progress): void => {
    vi.advanceTimersByTime(2000);
    progress.report("compiling", "1 kernel, 1 done");
  };
  const told = "compiling 1 kernel, 1 done\r\u001b[KAye\n";
  const { all } = await talk(["One", "Two"], { before, terminal: true });
  expect(all.split("modc itself\n")[1]).toBe(told + told);
});
