// `modc sample`: several texts for each prompt of a file, with the log-probabilities of their tokens.
import { TextWriter } from "../../../generation/generate/stop.js";
import type { SamplingOptions } from "../../../generation/sampling/options.js";
import type { Message } from "../../../models/tokenizer/chat.js";
import { TokenizerError } from "../../../models/tokenizer/errors.js";
import { decoderAfter } from "../../../models/tokenizer/text-stream.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { SessionError } from "../../../language/diagnostics/errors.js";
import { RuntimeError } from "../../../runtime/index.js";
import type { OpenedEngine } from "../../session/engine-node.js";
import { tokensOf } from "../../session/session.js";
import { TrainError } from "../../train/errors.js";
import { kindOf } from "../../train/scoring/questions.js";
import type { DataRow } from "../../train/rows-node.js";
import { jsonLine } from "./generated.js";
import { expectTokensAlone, openServed } from "../serve/open.js";
import { ensureWritable, isPrinted, writeParts } from "../source/files.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { Progress, say } from "../terminal/terminal.js";
import { grouped, plural } from "../terminal/units.js";
import { linesAt, objectsIn } from "../train/scoring.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { samplingOf } from "./sampling.js";

type SampleFlags = Flags<typeof runningCommands.sample>;

const USUAL = { count: 1, tokens: 256, batch: 16 } as const;

/** A prompt of a line. */
interface Prompted extends DataRow {
  readonly tokens: readonly number[];
  readonly chat: boolean;
}

export async function sample(opened: OpenedModel, path: string, flags: SampleFlags): Promise<ExitCode> {
  const { output, count = USUAL.count, seed = 0, maxBatch = USUAL.batch } = flags;
  const { sampling } = samplingOf({ ...flags, seed });
  if (!isPrinted(output)) ensureWritable(output);
  const lines = await linesAt(path);
  const progress = new Progress();
  const { seed: _seed, ...served } = flags;
  const engine = await openServed(opened, { ...served, queue: 4 * maxBatch }, {}, progress);
  const stop = new AbortController();
  let restore = (): void => {};
  try {
    expectTokensAlone("a sample", engine);
    // Every line is checked before the first text.
    const prompts: Prompted[] = [];
    for await (const line of objectsIn(lines)) prompts.push(await promptOf(line, engine));
    if (prompts.length === 0) throw new TrainError("bad-data", `${path} has no prompts`);
    // Each text has its own signal. Node warns if one signal has more than ten listeners.
    const running = new Set<AbortController>();
    restore = onInterrupt(() => {
      stop.abort();
      for (const text of running) text.abort(stop.signal.reason);
    });
    const maxTokens = flags.maxTokens ?? engine.texts.defaults.maxTokens ?? USUAL.tokens;
    const all = prompts.length * count;
    let done = 0;
    const write = async (to: (bytes: Uint8Array) => Promise<void> | void): Promise<void> => {
      const under: Promise<object | null>[] = [];
      // Texts are written in order, so an interrupt lets those end that are whole, up to the first that is not.
      for (let i = 0; i < all + 2 * maxBatch; i++) {
        if (i < all && !stop.signal.aborted) {
          const own = { temperature: 1, ...sampling, seed: (seed + i) % 2 ** 32 };
          const ending = new AbortController();
          running.add(ending);
          const prompt = prompts[Math.floor(i / count)]!;
          const text = textOf(engine, prompt, own, maxTokens, ending.signal).finally(() => running.delete(ending));
          text.catch(() => {}); // it is awaited below, in order
          under.push(text);
        }
        if (i < 2 * maxBatch || under.length === 0) continue;
        const line = await under.shift()!;
        if (line === null) break;
        await to(new TextEncoder().encode(`${jsonLine(line)}\n`));
        progress.report("sampling", `${grouped(++done)} of ${plural(all, "text")}`, "sampling");
      }
      // Without a whole text, an earlier file stays as it was.
      if (done === 0) throw stop.signal.reason;
    };
    if (isPrinted(output)) await write((bytes) => void io().stdout.write(new TextDecoder().decode(bytes)));
    else await writeParts(output, write);
    if (!isPrinted(output)) say(`${output} has ${plural(done, "text")}`);
    return done < all ? EXIT.interrupted : EXIT.fine;
  } catch (fault) {
    if (stop.signal.aborted && fault === stop.signal.reason) return EXIT.interrupted;
    throw fault;
  } finally {
    progress.clear();
    restore();
    await engine.close();
  }
}

/** The tokens of a line's prompt or messages. Throws TrainError with the line. */
async function promptOf(line: DataRow, { texts, engine }: OpenedEngine): Promise<Prompted> {
  const { place, values } = line;
  const fail = (message: string, hint: string | null = null): never => {
    throw new TrainError("bad-data", `${place}: ${message}`, { hint });
  };
  const { prompt, messages } = values;
  const chat = prompt === undefined && messages !== undefined;
  if (chat && !Array.isArray(messages)) fail(`messages is ${kindOf(messages)}, not a list`);
  if (chat && (messages as readonly unknown[]).length === 0) fail("there are no messages");
  if (!chat && prompt === undefined) fail("the line has no prompt", "a line has prompt, a text, or messages");
  if (!chat && typeof prompt !== "string") fail(`prompt is ${kindOf(prompt)}, not a text`);
  const given = chat ? (messages as readonly Message[]) : (prompt as string); // as was checked
  if (chat && !(messages as readonly unknown[]).every(isMessage))
    fail("each message is an object with role and content, both texts");
  try {
    const tokens = Array.from(await tokensOf(given, texts.tokenizer, texts.chat, { alone: true }));
    if (tokens.length === 0) fail("prompt is empty");
    const { context } = engine.model;
    if (context !== null && tokens.length >= context)
      fail(`prompt has ${tokens.length} tokens: the model allows ${context}, with the text`);
    return { ...line, tokens, chat };
  } catch (cause) {
    if (!(cause instanceof TokenizerError || cause instanceof SessionError)) throw cause;
    return fail(cause.message, cause.hint);
  }
}

const isMessage = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  ["role", "content"].every((name) => typeof (value as Readonly<Record<string, unknown>>)[name] === "string");

/** A sampled text as a line of the output; null if it was interrupted. */
async function textOf(
  { engine, texts }: OpenedEngine,
  { place, values, tokens: prompt, chat }: Prompted,
  sampling: SamplingOptions,
  most: number,
  signal: AbortSignal,
): Promise<object | null> {
  const writer = new TextWriter(decoderAfter(texts.tokenizer, prompt), chat ? (texts.chat?.stops ?? []) : []);
  // All tokens of a record fit the model, the last one too.
  const maxTokens = Math.min(most, (engine.model.context ?? Infinity) - prompt.length);
  const added: number[] = [];
  const scores: number[] = [];
  try {
    const { ends } = texts.defaults;
    const until = (token: number): boolean => writer.add(token);
    for await (const event of engine.submit({ prompt, maxTokens, sampling, ends, logprobs: 0, signal, until })) {
      if (event.kind !== "token") continue;
      added.push(event.token);
      scores.push(event.score!.logprob);
    }
  } catch (fault) {
    if (signal.aborted) return null;
    throw fault;
  }
  if (!scores.every(Number.isFinite))
    throw new RuntimeError("bad-weights", `${place}: a log-probability of the model is not a finite number`, {
      hint: "check that the weights belong to the model",
    });
  writer.finish();
  const completion = writer.take();
  const tokens = [...prompt, ...added];
  const targets = tokens.map((_, i) => (i + 1 < prompt.length ? -1 : (tokens[i + 1] ?? -1)));
  // A number of 32 bits has at most 9 significant digits.
  const old = tokens.map((_, i) => (targets[i]! < 0 ? 0 : Number(scores[i + 1 - prompt.length]!.toPrecision(9))));
  return { ...values, completion, tokens, targets, old, sum: old.reduce((a, b) => a + b, 0) };
}
