// `modc generate`: generates text from prompts, streams it, and prints a summary.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { GeneratedText, Prompt, PromptRead, Summary } from "../../../generation/generate/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { createSession, type OpenSessionOptions } from "../../session/open-node.js";
import { tokensOf, type TextSession } from "../../session/session.js";
import { lackingOf, piecesOf } from "../../../models/tokenizer/text-stream.js";
import { chosenExperts } from "../../../generation/engine/experts.js";
import { notFinite } from "../../../generation/sampling/not-finite.js";
import { DepthText } from "../terminal/depth.js";
import { wantedDevice } from "../source/device.js";
import { onInterrupt } from "../terminal/ending.js";
import type { RuntimeError } from "../../../runtime/index.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { writeText } from "../source/files.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { compileOptions, precisionOf } from "../source/frontend.js";
import { io } from "../terminal/io.js";
import { formOf, expectTokens, promptsOf } from "./prompts.js";
import { jsonLine, jsonLines, oneText, severalTexts, type Shown, withoutText } from "./generated.js";
import { summaryLines } from "./generation-summary.js";
import { heated, renderHeatmap } from "./heatmap.js";
import { LAST_LOOP, showLoading, columns, Progress, say, sayPainted, useColor } from "../terminal/terminal.js";
import { expectWeights } from "../source/model-file.js";
import { bytesTokenizer } from "../../../models/tokenizer/tokenizer.js";
import { readFurther } from "../run/inputs.js";
import { expectSampling, samplingOf, type Sampling } from "./sampling.js";
import { tuningsOn } from "../source/tunings.js";
import { milliseconds, percent, plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";

type GenerateFlags = Flags<typeof runningCommands.generate>;

/** The default number of tokens, if neither flags nor checkpoint set one. */
const USUAL_TOKENS = 256;

/** Hooks for tests: called at each token, for example to lose the device. */
export interface GenerateTrial {
  readonly told?: (session: TextSession, event: GeneratedText) => void;
  readonly recover?: OpenSessionOptions["recover"];
}

export async function generate(
  opened: OpenedModel,
  flags: GenerateFlags,
  trial: GenerateTrial = {},
): Promise<ExitCode> {
  const chosen = samplingOf(flags);
  if (flags.json) expectNone(flags, ["showDepth"], "on --json, which always contains the depth of each token");
  else expectNone(flags, ["topLogprobs"], "without --json, which has a place for them");
  const prompts = promptsOf(flags);
  const form = formOf(flags);
  if (flags.heatmap !== undefined && flags.loopCaches === "last")
    throw misuse(
      "--heatmap and --loop-caches last exclude each other: the caches do not record which tokens ran a loop",
    );
  if (flags.loopCaches === "last")
    expectNone(
      flags,
      ["draft", "promptLogprobs"],
      "with --loop-caches last, whose caches drafts and scores of prompts cannot use",
    );
  if (flags.heatmap !== undefined && !existsSync(dirname(flags.heatmap)))
    throw new UserError(`--heatmap ${flags.heatmap}: there is no folder ${dirname(flags.heatmap)}`, null);
  const progress = new Progress();
  const session = await open(opened, flags, { prompts, chosen }, progress, trial);
  const stop = new AbortController();
  let restore = (): void => {};
  const events: GeneratedText[][] = prompts.map(() => []);
  const reads: PromptRead[] = [];
  const failed = new Map<number, RuntimeError>();
  const shown = shownBy(session, flags, prompts.length);
  try {
    // Report errors of the tokenizer and the template before anything runs.
    const { tokenizer, chat, defaults } = session.texts;
    const tokens: ArrayLike<number>[] = [];
    for (const prompt of prompts) tokens.push(await tokensOf(prompt, tokenizer, chat, { alone: true }));
    const inputs = await readFurther(session.generation, flags);
    if (Array.isArray(flags.lengths)) throw misuse("--lengths names no axis", "write --lengths S=4,2");
    const maxTokens = chosen.maxTokens ?? defaults.maxTokens ?? USUAL_TOKENS;
    progress.report("reading the prompt");
    const coming = session.generate(
      { prompts: tokens },
      {
        sampling: chosen.sampling,
        stop: flags.chat ? [...chosen.stop, ...(chat?.stops ?? [])] : chosen.stop,
        maxTokens,
        signal: stop.signal,
        // Whoever observes experts gets no drafts.
        ...(session.generation.choices &&
          (flags.draft !== "routes" || flags.heatmap !== undefined) && { experts: true }),
        ...(form && { form }),
        inputs,
        ...(flags.lengths && { lengths: flags.lengths as Readonly<Record<string, readonly number[]>> }), // by axis
        logprobs: flags.topLogprobs ?? null,
        promptLogprobs: flags.promptLogprobs ?? null,
        onPrompt(read, sequence) {
          reads[sequence] = read;
          if (!flags.json || !read.scores) return;
          const scores = read.scores.map((score, i) => score && { token: tokens[sequence]![i]!, ...score });
          io().stdout.write(`${jsonLine({ sequence, ...read, scores })}\n`);
        },
      },
    );
    const interrupted = await listen(coming, stop.signal, (event) => {
      progress.end();
      const ended = (b: number): boolean => failed.has(b) || (events[b]!.at(-1)?.finish ?? null) !== null;
      if (failed.has(event.sequence)) return false;
      if (Number.isNaN(event.logprob)) {
        // The others go on: their texts are as good as without it.
        const read = tokens[event.sequence]!.length + event.index;
        failed.set(event.sequence, notFinite(read, prompts.length === 1 ? null : event.sequence));
        if (failed.size === prompts.length) throw failed.get(event.sequence)!;
        return prompts.every((_, b) => ended(b));
      }
      // Handle interrupts only from the first token on. Before it an interrupt ends the process, even while the driver
      // compiles.
      if (events.every((sequence) => sequence.length === 0)) restore = onInterrupt(() => stop.abort());
      events[event.sequence]!.push(event);
      shown.add(event);
      trial.told?.(session, event);
      return failed.size > 0 && prompts.every((_, b) => ended(b));
    }).finally(() => shown.end());
    const summary = session.summary;
    if (summary) report(session, summary, events, flags, { interrupted, failed, isHeld: form !== null, reads });
    const [fault] = failed.values();
    if (fault) throw fault;
    if (flags.heatmap !== undefined && summary) {
      writeText(flags.heatmap, await heatmap(session, summary, tokens, events));
      say(`${flags.heatmap} shows which layers computed which tokens`);
    }
    return interrupted ? EXIT.interrupted : EXIT.fine;
  } finally {
    progress.clear();
    restore();
    session.dispose();
  }
}

async function open(
  opened: OpenedModel,
  flags: GenerateFlags,
  { prompts, chosen }: { readonly prompts: readonly Prompt[]; readonly chosen: Sampling },
  progress: Progress,
  trial: GenerateTrial,
): Promise<TextSession> {
  const { set, model } = compileOptions(opened, flags);
  const texts = await opened.texts();
  await expectTokens(prompts, texts);
  if (texts.tokenizer === null) expectSampling(chosen.sampling, bytesTokenizer.vocabulary);
  for (const option of texts.defaults.ignored) say(`note: generation_config.json has ${option}, which modc ignores`);
  const seed = flags.seed ?? 0;
  expectWeights(opened);
  if (opened.weights === null) say(`note: no --weights: the model starts from seed ${seed} and is untrained`);
  try {
    const session = await createSession(opened, {
      set,
      seed,
      live: flags.live ?? {},
      ...(model === undefined ? {} : { model }),
      ...(flags.loopCaches && { loopCaches: flags.loopCaches }),
      ...(flags.latent && { latent: flags.latent }),
      ...(flags.draft && { draft: flags.draft }),
      ...(flags.promptLogprobs !== undefined && { caches: "pages" }),
      precision: precisionOf(flags),
      device: wantedDevice(flags),
      tunings: (device) => tuningsOn(device, flags),
      ...(trial.recover && { recover: trial.recover }),
      onRecovered: ({ lost, device, tokens, milliseconds: ms }) =>
        say(
          `note: ${lost.message}; the text continues on ${device.info.name}, after reading ` +
            `${plural(tokens, "token")} again in ${milliseconds(ms)} ms`,
        ),
      onProgress: (event) => {
        if (event.kind !== "grow") showLoading(event, progress, { given: opened.weights !== null });
      },
    });
    showDiagnostics(session.diagnostics, session.sources);
    if (session.generation.loopCaches === "last") say(LAST_LOOP);
    return session;
  } catch (fault) {
    progress.clear();
    throw fault;
  }
}

/** Passes events on until one is said to be the last; returns whether generation was interrupted. */
async function listen(
  events: AsyncIterable<GeneratedText>,
  signal: AbortSignal,
  tell: (event: GeneratedText) => boolean,
): Promise<boolean> {
  try {
    for await (const event of events) if (tell(event)) break;
    return false;
  } catch (fault) {
    if (signal.aborted) return true;
    throw fault;
  }
}

function shownBy(session: TextSession, { json, showDepth }: GenerateFlags, sequences: number): Shown {
  const write = (text: string): void => void io().stdout.write(text);
  if (json) return jsonLines(write);
  const depth = showDepth ? new DepthText(session.generation, useColor(io().stdout)) : null;
  const safe = Boolean(io().stdout.isTTY);
  return sequences === 1
    ? oneText(write, depth, safe, columns())
    : severalTexts(write, sequences, depth, safe, columns());
}

function report(
  session: TextSession,
  summary: Summary,
  events: readonly (readonly GeneratedText[])[],
  flags: GenerateFlags,
  {
    interrupted,
    failed,
    isHeld: held,
    reads,
  }: {
    readonly interrupted: boolean;
    readonly failed: ReadonlyMap<number, unknown>;
    readonly isHeld: boolean;
    readonly reads: readonly PromptRead[];
  },
): void {
  const chosen = events.flatMap((ofSequence) => ofSequence.map((e) => e.token));
  const lacking = lackingOf(session.texts.tokenizer, chosen);
  if (lacking !== null) say(`note: ${withoutText(lacking)}`);
  const finishes = events.map((ofSequence, b) =>
    failed.has(b) ? "failed" : (ofSequence.at(-1)?.finish ?? "interrupted"),
  );
  if (flags.json) {
    const texts = events.map((ofSequence, sequence) => ({
      sequence,
      text: ofSequence.map((e) => e.text).join(""),
      tokens: ofSequence.map((e) => e.token),
      finish: ofSequence.at(-1)?.finish ?? null,
    }));
    const { loopCaches } = session.generation;
    const run = { model: session.name, device: session.device.info.name, ...(loopCaches && { loopCaches }) };
    io().stdout.write(`${jsonLine({ ...run, texts, interrupted, summary })}\n`);
    return;
  }
  say(
    `${session.name} on ${session.device.info.name}: ` +
      finishes
        .map((f, b) => `${finishes.length === 1 ? "" : `[${b}] `}ended by ${held && f === "stop" ? HELD : ENDED[f]}`)
        .join(", "),
  );
  for (const line of summaryLines(summary, finishes.length, columns())) say(line);
  if (flags.logprobs)
    for (const line of likelihoods(
      "logprob",
      events.map((ofSequence) => ofSequence.map(({ logprob }) => logprob)),
    ))
      say(line);
  if (flags.promptLogprobs !== undefined)
    for (const line of likelihoods(
      "prompt ",
      reads.map(({ scores }) => (scores ?? []).slice(1).map((score) => score!.logprob)),
    ))
      say(line);
  if (flags.showDepth) {
    const legend = new DepthText(session.generation, useColor(io().stdout)).legend(useColor());
    sayPainted(`depth   ${legend} layers computed each token's choice`);
  }
}

/** The limits on a text's form, in a message. */
const HELD = "its schema or grammar, or a stop string";

const ENDED: Readonly<Record<NonNullable<GeneratedText["finish"]> | "interrupted" | "failed", string>> = {
  end: "an end token",
  stop: "a stop string",
  length: "the number of tokens asked for",
  context: "the model's context",
  interrupted: "an interrupt",
  failed: "logits that are not finite",
};

/** The likelihood of the tokens of each text under the unmodified logits. */
const likelihoods = (name: string, texts: readonly (readonly (number | null)[])[]): readonly string[] =>
  texts.flatMap((logprobs, b) => {
    if (logprobs.length === 0) return [];
    const mean = logprobs.reduce<number>((sum, logprob) => sum + (logprob ?? 0), 0) / logprobs.length;
    return [
      `${name} ${texts.length === 1 ? "" : `[${b}] `}${mean.toFixed(4)} a token on average: perplexity ` +
        Math.exp(-mean).toPrecision(4),
    ];
  });

async function heatmap(
  session: TextSession,
  summary: Summary,
  prompts: readonly ArrayLike<number>[],
  events: readonly (readonly GeneratedText[])[],
): Promise<string> {
  const taken = await session.taken();
  const experts = session.experts();
  const texts = prompts.flatMap((prompt, b) => {
    const ofSequence = events[b]!;
    if (ofSequence.length === 0) return [];
    const ofRoutes = taken.map((route) => route?.[b] ?? null);
    const shown = piecesOf(session.texts.tokenizer, [...Array.from(prompt), ...ofSequence.map((e) => e.token)]);
    return [
      {
        shown,
        ...heated(session.generation, prompt.length, ofSequence, ofRoutes),
        experts: chosenExperts(
          session.generation,
          prompt.length,
          ofSequence,
          experts.map((choice) => choice[b]!),
          ofRoutes,
        ),
      },
    ];
  });
  const { firstToken, generation, generatedTokens, flops, cache } = summary;
  const later = generatedTokens - events.length;
  return renderHeatmap({
    model: session.name,
    device: session.device.info.name,
    facts: [
      ["first token after", `${milliseconds(firstToken)} ms`],
      ...(later > 0 ? [["then", `${((1000 * later) / generation).toPrecision(3)} tokens/s`] as const] : []),
      ...(flops ? [["operations, against dense", percent(flops.own, flops.dense)] as const] : []),
      ["cache, against dense", percent(cache.used, cache.dense)],
    ],
    texts,
  });
}
