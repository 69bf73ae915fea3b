// Reads sampling options from flags; the checkpoint's defaults apply to the others.
import { InputError } from "../../../runtime/device/errors.js";
import { samplingTables, type SamplingOptions } from "../../../generation/sampling/options.js";
import { checkStops } from "../../../generation/generate/stop.js";
import { anyNumber, type Pairs } from "../tree/arguments.js";
import { misuse } from "../terminal/exit.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { say } from "../terminal/terminal.js";
import { expectNone } from "../tree/usage.js";

type GenerateFlags = Flags<typeof runningCommands.generate>;
type SamplingFlags = Pick<GenerateFlags, keyof GenerateFlags & keyof Flags<typeof runningCommands.chat>> &
  Partial<Pick<GenerateFlags, "logitBias" | "stop" | "logprobs">>;

export interface Sampling {
  readonly sampling: SamplingOptions;
  readonly stop: readonly string[];
  readonly maxTokens: number | null;
}

/** The values of filters that keep all tokens. */
const OFF = { topK: 0, topP: 1, minP: 0 } as const;

/** Temperatures above it are hardly ever meant. */
const HOT = 2;

/** Reads and checks the options before anything is opened. Throws UserError. */
export function samplingOf(flags: SamplingFlags): Sampling {
  const bias = biasOf(flags.logitBias ?? {});
  if (flags.temperature === 0) {
    const filters = (["topK", "topP", "minP"] as const).filter((name) => flags[name] !== OFF[name]);
    expectNone(flags, filters, "with --temperature 0, which takes the most likely token");
  }
  const { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty, seed, logprobs } = flags;
  const penalties = { repetitionPenalty, presencePenalty, frequencyPenalty };
  const all = { temperature, topK, topP, minP, ...penalties, seed, logprobs };
  const sampling: SamplingOptions = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  expectSampling(sampling, 1); // tokens with a bias are held against the vocabulary where that is known
  asOptions(() => checkStops(flags.stop ?? []));
  // `-t 8` means threads in llama.cpp.
  if ((flags.temperature ?? 0) >= HOT)
    say(`note: a temperature of ${flags.temperature!} samples nearly at random; -t is --temperature, not threads`);
  return {
    sampling: bias.size === 0 ? sampling : { ...sampling, logitBias: bias },
    stop: flags.stop ?? [],
    maxTokens: flags.maxTokens ?? null,
  };
}

/** Checks sampling options for a model with this number of tokens. Throws UserError, which names the option. */
export const expectSampling = (sampling: SamplingOptions, vocabulary: number): void =>
  asOptions(() => void samplingTables(sampling, vocabulary));

function asOptions(check: () => void): void {
  try {
    check();
  } catch (fault) {
    if (!(fault instanceof InputError)) throw fault;
    const option = `--${(fault.input ?? "").replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw misuse(
      fault.message.startsWith(`${fault.input} `) ? fault.message.replace(fault.input!, option) : fault.message,
      fault.hint,
    );
  }
}

/** Parses `65=-inf`, `65=2.5`: a token and the bias of its logit. */
function biasOf(given: Pairs): ReadonlyMap<number, number> {
  return new Map(
    Object.entries(given).map(([token, value]) => {
      if (!/^\d+$/.test(token))
        throw misuse(`--logit-bias ${token}=${value}: ${JSON.stringify(token)} is not the number of a token`);
      const never = /^[-−]inf(inity)?$/i.test(value);
      return [Number(token), never ? -Infinity : anyNumber(`--logit-bias ${token}=`, value)];
    }),
  );
}
