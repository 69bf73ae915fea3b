// `modc chat`: a conversation with a model in the terminal. Each line is answered, or is a command to modc itself.
import { cacheLimit } from "../../../generation/engine/caches/use.js";
import { type Generation, StopMatcher } from "../../../generation/generate/index.js";
import { isSampled } from "../../../generation/sampling/options.js";
import { InputError } from "../../../runtime/device/errors.js";
import { Choice } from "../../serve/requests/choice.js";
import { randomSeed } from "../../serve/requests/plan.js";
import type { OpenedEngine } from "../../session/engine-node.js";
import { TokenizerError } from "../../../models/tokenizer/errors.js";
import { lackingOf } from "../../../models/tokenizer/text-stream.js";
import { DepthText } from "../terminal/depth.js";
import { oneText, withoutText } from "../generate/generated.js";
import { type Sampling, samplingOf } from "../generate/sampling.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { columns, say, sayDim, sayPainted, useColor, Progress } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { type Asked, Conversation } from "./conversation.js";
import { type Lines, linesOfInput } from "./lines.js";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { escapedName } from "../../../ground/base/shown.js";
import { writeText } from "../source/files.js";
import type { RequestUse } from "../../../generation/engine/index.js";
import { atRate } from "../generate/generation-summary.js";
import { milliseconds, plural } from "../terminal/units.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { expectTemplate } from "../../session/session.js";
import { expectTokensAlone, openServed } from "../serve/open.js";

const HELP = `/regen        answer the last message again
/save <file>  write the conversation to a new file: text, or messages where it ends in .json
/depth        show how many layers computed each token, or stop showing it
/reset        forget the conversation
/help         show these lines
/exit         end the conversation, as does the end of input
A line that ends in \\ continues on the next; lines between """ and """ are one message.
An interrupt stops an answer.`;

/** Shares of the context: an answer takes at most the first, and what was said leaves at least the second for it. */
const [MOST, LEAST] = [1 / 2, 1 / 4];

/** An opened model, as far as a conversation needs it. */
export type TalkedTo = Pick<OpenedEngine, "name" | "engine" | "texts" | "generation"> & {
  readonly device: { readonly info: { readonly name: string } };
};

type Ended = "answered" | "stopped" | "refused";

/** A conversation from its first line to its end. */
export class Talk {
  readonly #opened: TalkedTo;
  readonly #generation: Generation;
  readonly #lines: Lines;
  readonly #progress: Progress;
  readonly #conversation: Conversation;
  readonly #chosen: Sampling;
  readonly #depths: DepthText;
  readonly #saver = new Saver();
  #showDepth: boolean;
  #answers = 0;
  #toldLacking = false;
  #toldDropped = false;

  constructor(
    opened: TalkedTo,
    lines: Lines,
    progress: Progress,
    flags: Pick<Flags<typeof runningCommands.chat>, "showDepth" | "system">,
    chosen: Sampling,
  ) {
    this.#opened = opened;
    this.#generation = expectGeneration(opened);
    this.#lines = lines;
    this.#progress = progress;
    this.#chosen = chosen;
    this.#showDepth = flags.showDepth ?? false;
    this.#conversation = new Conversation(opened.texts, flags.system ?? null);
    this.#depths = new DepthText(this.#generation, useColor(io().stdout));
    say(`${opened.name} on ${opened.device.info.name}; type /help for commands`);
    if (!opened.texts.chat)
      say(
        "note: the tokenizer has no chat template, so the model continues your text; give one with " +
          "--chat-template <file or name>",
      );
  }

  async untilEnd(): Promise<ExitCode> {
    const { attended } = this.#lines;
    let exit: ExitCode = EXIT.fine;
    for (let line = await this.#lines.next(); line !== null; line = await this.#lines.next()) {
      const command = line.startsWith("/") ? line.trim() : null;
      if (command === "/exit") break;
      let ended: Ended = "answered";
      if (command === "/regen") ended = await this.#again();
      else if (command !== null) this.#command(command);
      else {
        const message = await wholeMessage(line, this.#lines);
        if (message.trim() !== "") ended = await this.#answer(message);
      }
      if (attended) continue;
      if (ended === "stopped") return EXIT.interrupted;
      if (ended === "refused") exit = EXIT.user;
    }
    return exit;
  }

  /** Answers the last message again. Its answer stays if the new one does not begin. */
  async #again(): Promise<Ended> {
    const last = this.#conversation.takeBack();
    if (!last) {
      say("there is no answer yet");
      return "answered";
    }
    if (!isSampled({ ...this.#opened.texts.defaults.sampling, ...this.#chosen.sampling }))
      say("note: the answer will be the same: the most likely tokens are taken; use --temperature to sample");
    return this.#answer(last.message, last.restore);
  }

  #save(name: string): void {
    try {
      say(this.#saver.save(name, this.#conversation));
    } catch (fault) {
      if (!(fault instanceof UserError)) throw fault;
      say(fault.message);
    }
  }

  #command(line: string): void {
    const [, name] = /^\/save(?:\s+(.*))?$/s.exec(line) ?? [];
    if (line.split(/\s/, 1)[0] === "/save") return this.#save(name ?? "");
    switch (line) {
      case "/help":
        return say(HELP);
      case "/reset":
        this.#conversation.reset();
        return say("the conversation is forgotten");
      case "/depth":
        this.#showDepth = !this.#showDepth;
        return sayPainted(
          this.#showDepth ? `layers of each token: ${this.#depths.legend(useColor())}` : "layers are not shown",
        );
      default:
        return say(`there is no ${line}: type /help for commands`);
    }
  }

  /** `restore` is called if the answer does not begin. */
  async #answer(message: string, restore: (() => void) | null = null): Promise<Ended> {
    const { engine, texts } = this.#opened;
    const stop = new AbortController();
    const hear = (): (() => void) => this.#lines.onInterrupt(() => stop.abort());
    // If nobody is present, an interrupt before the first token ends the process, even while the driver compiles.
    let heard = this.#lines.attended ? hear() : null;
    const depth = this.#showDepth ? this.#depths : null;
    const shown = oneText((text) => void io().stdout.write(text), depth, Boolean(io().stdout.isTTY), columns());
    let answer = "";
    let asked: Asked | null = null;
    let choice: Choice | null = null;
    const watch = new Stopwatch();
    const chosen = new Set<number>();
    try {
      const { most, fits } = this.#room();
      asked = await this.#conversation.asked(message, fits, stop.signal);
      const prompt = asked.tokens;
      const { sampling, stop: stops } = this.#chosen;
      const wanted = { ...texts.defaults.sampling, ...sampling };
      // A seed alone would make a greedy answer a drawn one.
      const seed = wanted.seed !== undefined ? wanted.seed + this.#answers : isSampled(wanted) ? randomSeed() : null;
      const current = (choice = new Choice(engine, texts.tokenizer, {
        index: 0,
        prompt,
        field: "messages",
        stops: new StopMatcher([...stops, ...(texts.chat?.stops ?? [])]),
        request: {
          prompt,
          maxTokens: most,
          sampling: { ...wanted, ...(seed !== null && { seed }) },
          ends: texts.defaults.ends,
        },
      }));
      if (asked.dropped > 0) this.#tellDropped();
      stop.signal.addEventListener("abort", () => current.cancel());
      for await (const piece of current.pieces()) {
        if (piece.kind === "prompt") continue;
        watch.token();
        heard ??= hear();
        this.#progress.pause();
        answer += piece.text;
        chosen.add(piece.token.event.token);
        shown.add({ text: piece.text, depth: piece.token.event.depth });
      }
    } catch (fault) {
      if (!stop.signal.aborted) {
        // The conversation continues without the message.
        if (!(fault instanceof InputError || fault instanceof TokenizerError)) throw fault;
        say(`the message was left out: ${fault.message}`);
        restore?.();
        return "refused";
      }
    } finally {
      heard?.();
      this.#progress.clear();
      shown.end();
      this.#progress.resume();
    }
    const { aborted } = stop.signal;
    const begun = !aborted || answer !== "";
    if (begun) this.#answers++;
    if (begun && asked) this.#conversation.answered(asked, answer);
    else restore?.();
    this.#tellLacking(chosen);
    const speed = choice && watch.line(choice.use);
    if (speed !== null) sayDim(speed);
    if (!aborted) return "answered";
    say(
      begun
        ? "stopped"
        : `stopped before the answer began: ${restore ? "the earlier answer stays" : "the message is left out"}`,
    );
    return "stopped";
  }

  /** Tokens of a conversation that there is room for. */
  get #limit(): number {
    const { model, state } = this.#opened.engine;
    const { pages } = this.#generation;
    const cached = pages ? cacheLimit({ ...this.#generation, pages }, state.cache.limit) : Infinity;
    return Math.min(model.context ?? Infinity, cached);
  }

  /** The most tokens of an answer, and whether there is room for one after a prompt. */
  #room(): { readonly most: number; readonly fits: (prompt: readonly number[]) => boolean } {
    const limit = this.#limit;
    const share = (of: number): number => Math.max(1, Math.min(Math.floor(limit * of), Number.MAX_SAFE_INTEGER));
    const most = this.#chosen.maxTokens ?? this.#opened.texts.defaults.maxTokens ?? share(MOST);
    const room = Math.min(most, share(LEAST));
    return { most, fits: (prompt) => prompt.length + room <= limit };
  }

  /** Says once that what was said first is forgotten. */
  #tellDropped(): void {
    if (this.#toldDropped) return;
    this.#toldDropped = true;
    say(`note: there is room for ${this.#limit} tokens: the oldest messages are forgotten from now on`);
  }

  /** Says once that tokens have no text. */
  #tellLacking(chosen: ReadonlySet<number>): void {
    const lacking = this.#toldLacking ? null : lackingOf(this.#opened.texts.tokenizer, chosen);
    if (lacking === null) return;
    this.#toldLacking = true;
    say(`note: ${withoutText(lacking)}`);
  }
}

function expectGeneration({ name, generation }: TalkedTo): Generation {
  expectTokensAlone("a chat", { name, generation });
  if (generation) return generation;
  throw new UserError(`${name} computes embeddings, not text`, "use `modc serve`, at /v1/embeddings");
}

/** Writes conversations to files, over those only that it wrote itself. */
class Saver {
  readonly #saved = new Set<string>();

  /** Returns what was written, as a sentence. Throws UserError. */
  save(name: string, { messages }: Conversation): string {
    if (name === "") throw new UserError("give a file: /save talk.txt, or talk.json for messages in JSON");
    if (messages.length === 0) throw new UserError("there is nothing to save yet");
    const path = resolve(name.replace(/^~(?=\/)/, () => homedir()));
    if (existsSync(path) && !this.#saved.has(path))
      throw new UserError(`${escapedName(name)} already exists: name another file`);
    const text = path.endsWith(".json")
      ? `${JSON.stringify(messages, null, 1)}\n`
      : messages.map(({ role, content }) => `${role}: ${content}\n`).join("\n");
    writeText(path, text);
    this.#saved.add(path);
    return `${escapedName(name)} has the ${messages.length} messages of the conversation`;
  }
}

/** Measures an answer from the time when it is made. */
class Stopwatch {
  readonly #start = performance.now();
  #first: number | null = null;
  #last = this.#start;
  #tokens = 0;

  /** Counts a token. */
  token(): void {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#tokens++;
  }

  /** `24 tokens at 32.3 tokens/s, the first after 212 ms (18 tokens read, 230 cached)`; null without a token. */
  line({ promptTokens, cachedTokens }: Pick<RequestUse, "promptTokens" | "cachedTokens">): string | null {
    if (this.#first === null) return null;
    const later = this.#tokens - 1;
    const speed = later === 0 ? "" : ` ${atRate(later, this.#last - this.#first)}`;
    const cached = cachedTokens === 0 ? "" : `, ${cachedTokens} cached`;
    return (
      `${plural(this.#tokens, "token")}${speed}, the first after ${milliseconds(this.#first - this.#start)} ms ` +
      `(${plural(promptTokens, "token")} read${cached})`
    );
  }
}

const QUOTES = '"""';

/** The message that begins with `first`; empty if an interrupt dropped it. Messages in quotes may begin with a slash. */
async function wholeMessage(first: string, lines: Lines): Promise<string> {
  const quoted = first.trimStart().startsWith(QUOTES);
  const start = quoted ? first.trimStart().slice(QUOTES.length) : first;
  const part = (line: string): { readonly text: string; readonly more: boolean } => {
    const trimmed = line.trimEnd();
    if (quoted)
      return trimmed.endsWith(QUOTES) ? { text: trimmed.slice(0, -3), more: false } : { text: line, more: true };
    return line.endsWith("\\") ? { text: line.slice(0, -1), more: true } : { text: line, more: false };
  };
  let dropped = false;
  // Without a terminal an interrupt ends the process.
  const restore = lines.attended ? lines.onInterrupt(() => (dropped = true)) : null;
  try {
    const parts = [part(start)];
    while (parts.at(-1)!.more) {
      const line = await lines.next({ continued: true });
      if (dropped) return "";
      if (line === null) break;
      parts.push(part(line));
    }
    const texts = parts.map(({ text }) => text);
    if (quoted && texts[0] === "") texts.shift(); // quotes on lines of their own
    if (quoted && texts.at(-1) === "") texts.pop();
    return texts.join("\n");
  } finally {
    restore?.();
  }
}

/** An engine of one text: the next message finds what was said before in its cache. */
const ALONE = { maxBatch: 1, queue: 0 } as const;

export async function chat(model: OpenedModel, flags: Flags<typeof runningCommands.chat>): Promise<ExitCode> {
  const chosen = samplingOf(flags);
  if (flags.system !== undefined) await expectTemplateOf(model);
  const progress = new Progress();
  const opened = await openServed(model, { ...flags, ...ALONE }, {}, progress);
  try {
    const lines = linesOfInput();
    try {
      return await new Talk(opened, lines, progress, flags, chosen).untilEnd();
    } finally {
      lines.close();
    }
  } finally {
    await opened.close();
  }
}

/** Throws SessionError for a model without a chat template, before weights are read and a device is opened. */
async function expectTemplateOf(model: OpenedModel): Promise<void> {
  expectTemplate((await model.texts()).chat);
}
