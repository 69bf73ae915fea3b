// Conversations of `modc chat`, with an engine that gives scripted answers: kept turns, and seeds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, onTestFinished, vi } from "vitest";
import { Talk } from "../../../src/tools/cli/chat/talk.js";
import type { Sampling } from "../../../src/tools/cli/generate/sampling.js";
import { withIo } from "../../../src/tools/cli/terminal/io.js";
import { Progress } from "../../../src/tools/cli/terminal/terminal.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { bytesTokenizer, type ChatTemplate } from "../../../src/models/tokenizer/index.js";
import { bytes, CHAT } from "../serve/asked.js";
import { ScriptedEngine, type Script } from "../serve/scripted-engine.js";
import { temporaryFolder } from "./spawn.js";

const source = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const { generation } = compileGeneration(source, { caches: "pages" });
/** Bytes of cache per token. */
const BYTES = generation!.pages!.axes.flatMap(({ states }) => states).reduce((sum, { bytes }) => sum + bytes, 0);

afterEach(() => vi.useRealTimers());

interface Said {
  readonly chat?: ChatTemplate | null;
  readonly system?: string;
  readonly sampling?: Sampling["sampling"];
  /** Of the checkpoint. */
  readonly defaults?: Sampling["sampling"];
  /** How many tokens of the i-th answer come before an interrupt; null: all. */
  readonly stopAt?: (answer: number) => number | null;
  /** Lines within which an interrupt comes. */
  readonly interrupted?: readonly string[];
  /** What is done before each token of an answer. */
  readonly before?: (progress: Progress) => void;
  readonly maxTokens?: number;
  /** The number of tokens that the model reads, and the bytes of its cache. */
  readonly context?: number | null;
  readonly cache?: number;
  /** Whether both streams are one terminal. */
  readonly terminal?: boolean;
}

/** An engine with so many bytes for its cache. */
class CachedEngine extends ScriptedEngine {
  constructor(
    script: Script,
    readonly cache: number,
  ) {
    super(script);
  }

  override get state(): ScriptedEngine["state"] {
    const { cache, ...state } = super.state;
    return { ...state, cache: { ...cache, limit: this.cache } };
  }
}

/** A conversation of these lines at a terminal, each answered by "Aye": the engine's requests, and what is said. */
async function talk(lines: readonly string[], said: Said = {}) {
  const { chat = CHAT, sampling = {}, defaults = {}, stopAt, before, terminal = false } = said;
  const { maxTokens = null, context = 256, cache = 2 ** 30 } = said;
  let stop = (): void => {};
  const progress = new Progress();
  const script: Script = {
    says: () => bytes("Aye"),
    model: { context },
    before: (_, index) => {
      before?.(progress);
      if (stopAt?.(engine.requests.length - 1) === index) stop();
    },
  };
  const engine = new CachedEngine(script, cache);
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
        next: () => {
          const line = left.shift() ?? null;
          if (line !== null && said.interrupted?.includes(line)) stop();
          return Promise.resolve(line);
        },
        onInterrupt(heard) {
          stop = heard;
          return () => (stop = () => {});
        },
        close: () => {},
      },
      progress,
      said.system === undefined ? {} : { system: said.system },
      { sampling, stop: [], maxTokens },
    ).untilEnd(),
  );
  const prompts = engine.requests.map(({ prompt }) => new TextDecoder().decode(Uint8Array.from(prompt)));
  const most = engine.requests.map((request) => request.maxTokens);
  return { prompts, most, seeds: engine.requests.map((request) => request.sampling?.seed), stderr, all };
}

const SPEED = /^(?:\u001b\[2m)?\d tokens? .*, the first after [\d.]+ ms \(\d+ tokens read.*\n/gm;
const withoutSpeed = (text: string): string => text.replaceAll(SPEED, "");

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
  expect(withoutSpeed(stderr)).toMatch(/\nstopped before the answer began: the message is left out\nstopped\n$/);
  const plain = await talk(lines, { stopAt, chat: null });
  expect(plain.prompts.at(-1)).toBe("OneAye\nThreeAy\nFour");
});

it("draws each answer by a new seed, by the next one where a first is given, and by none where nothing is drawn", async () => {
  const lines = ["One", "Two", "Three"];
  expect((await talk(lines, { sampling: { seed: 0 } })).seeds).toEqual([0, 1, 2]);
  // One that is stopped once it has begun is an answer, and has had its seed.
  const stopAt = (answer: number): number | null => (answer === 0 ? 2 : null);
  expect((await talk(lines, { sampling: { seed: 7 }, stopAt })).seeds).toEqual([7, 8, 9]);
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
  expect(withoutSpeed(all).split("type /help for commands\n")[1]).toBe(told + told);
});

it("leaves out what was said first where else no room is left for an answer, and keeps it of a message that is refused", async () => {
  // 23 characters each with their answers; an answer may have half of 64, and 16 must be left for it.
  const lines = ["One", "Two", "Three"];
  const { prompts, most, stderr } = await talk(lines, { context: 64 });
  expect(most).toEqual([32, 32, 32]);
  const [one, two] = ["<user>One<assistant>Aye", "<user>Two<assistant>Aye"];
  expect(prompts).toEqual(["<user>One<assistant>", `${one}<user>Two<assistant>`, `${two}<user>Three<assistant>`]);
  const note = "note: there is room for 64 tokens: the oldest messages are forgotten from now on\n";
  expect(stderr.split(note)).toHaveLength(2);
  // A message of the system stays.
  const system = await talk(["One", "Two"], { context: 64, system: "Be brief" });
  expect(system.prompts).toEqual(["One", "Two"].map((said) => `<system>Be brief<user>${said}<assistant>`));
  // By the cache, where that has less room; and no more room than an answer is to have.
  expect((await talk(lines, { context: null, cache: 64 * BYTES })).prompts).toEqual(prompts);
  const last = "<user>Two<assistant>A<user>Three<assistant>";
  expect((await talk(lines, { context: 64, maxTokens: 1 })).prompts.at(-1)).toBe(last);
  expect((await talk(lines, { context: 65, maxTokens: 1 })).prompts.at(-1)).toBe(`<user>One<assistant>A${last}`);
  // One that is too long is answered alone, or refused, and forgets nothing then.
  const long = await talk(["One", "x".repeat(32), "Two"], { context: 64, stopAt: (i) => (i === 1 ? 0 : null) });
  expect(long.prompts.slice(1)).toEqual([`<user>${"x".repeat(32)}<assistant>`, `${one}<user>Two<assistant>`]);
});

it("tells after each answer how fast it was, and after none that did not begin", async () => {
  const { stderr } = await talk(["One", "Two"], { stopAt: (answer) => (answer === 1 ? 0 : null) });
  expect(stderr.match(SPEED)).toEqual([expect.stringContaining("3 tokens at ")]);
});

it("answers the last message again by /regen, with the next seed, and keeps the earlier answer if none begins", async () => {
  const sampling = { seed: 5, temperature: 1 };
  const again = await talk(["/regen", "One", "/regen", "Two"], { sampling });
  const [one, two] = ["<user>One<assistant>", "<user>One<assistant>Aye<user>Two<assistant>"];
  expect(again.prompts).toEqual([one, one, two]);
  expect(again.seeds).toEqual([5, 6, 7]);
  expect(again.stderr).toContain("there is no answer yet\n");
  expect(again.stderr).not.toContain("the most likely tokens");
  const stopAt = (answer: number): number | null => (answer === 1 ? 0 : null);
  const stopped = await talk(["One", "/regen", "Two"], { stopAt });
  expect(stopped.prompts).toEqual([one, one, two]);
  expect(stopped.stderr).toContain("stopped before the answer began: the earlier answer stays\n");
  expect(stopped.stderr).toContain("note: the answer will be the same: the most likely tokens are taken");
});

it("takes messages of several lines, by a backslash at the end or between quotes, and drops one that is interrupted", async () => {
  const lines = ["One\\", "Two", '"""', "/help", "", 'Three"""', '"""Four"""', "Five\\", "Six"];
  const asked = (await talk(lines, { context: 512 })).prompts.map((prompt) => prompt.split("<user>").at(-1));
  expect(asked).toEqual(["One\nTwo", "/help\n\nThree", "Four", "Five\nSix"].map((said) => `${said}<assistant>`));
  const dropped = await talk(['"""One', "Two", 'Three"""', "Four"], { interrupted: ["Two"] });
  expect(dropped.prompts.map((prompt) => prompt.split("<user>").length)).toEqual([2, 3]);
  expect(dropped.prompts[0]).toBe('<user>Three"""<assistant>');
});

it("saves a conversation by /save with what is forgotten, as text or JSON, over no other file", async () => {
  const folder = temporaryFolder();
  onTestFinished(folder.remove);
  const other = folder.file("other.txt", "mine");
  const [text, json] = [join(folder.path, "talk.txt"), join(folder.path, "talk.json")];
  const lines = ["/save", `/save ${text}`, "One", "Two", "Three", `/save ${text}`, `/save ${text}`, `/save ${json}`];
  const more = [`/save ${other}`, `/save ${join(folder.path, "none", "x.txt")}`, "/reset", `/save ${text}`];
  const { stderr } = await talk([...lines, ...more], { context: 64, system: "Be brief" });
  expect(stderr).toContain("the oldest messages are forgotten");
  expect(readFileSync(text, "utf8")).toBe(
    `system: Be brief\n\n${["One", "Two", "Three"].map((said) => `user: ${said}\n\nassistant: Aye\n`).join("\n")}`,
  );
  expect(JSON.parse(readFileSync(json, "utf8"))).toHaveLength(7);
  expect(readFileSync(other, "utf8")).toBe("mine");
  for (const [said, times] of [
    ["give a file: /save talk.txt", 1],
    ["there is nothing to save yet", 2],
    [`${text} has the 7 messages of the conversation`, 2],
    [`${other} already exists: name another file`, 1],
    ["cannot write", 1],
  ] as const)
    expect(stderr.split(said)).toHaveLength(times + 1);
});
