// How tokens are chosen, as flags say it: what they leave out is the checkpoint's.
import { InputError } from "../runtime/errors.js";
import { samplingTables, type SamplingOptions } from "../generate/options.js";
import { checkStops } from "../generate/stop.js";
import { anyNumber, pairs, seedOf, wholeNumber } from "./arguments.js";
import { UserError, EXIT } from "./exit.js";

export interface SamplingFlags {
  readonly temperature?: string;
  readonly topK?: string;
  readonly topP?: string;
  readonly minP?: string;
  readonly repetitionPenalty?: string;
  readonly seed?: string;
  readonly logitBias?: readonly string[];
  readonly logprobs?: boolean;
  readonly stop?: readonly string[];
  readonly maxTokens?: string;
}

export interface Sampling {
  readonly sampling: SamplingOptions;
  readonly stop: readonly string[];
  readonly maxTokens: number | null;
}

/** What is wrong with the options is said before anything is opened. Throws UserError. */
export function samplingOf(flags: SamplingFlags): Sampling {
  const number = (option: string, text: string | undefined): number | null =>
    text === undefined ? null : anyNumber(option, text);
  const bias = biasOf(flags.logitBias ?? []);
  const given = {
    temperature: number("--temperature", flags.temperature),
    topK: number("--top-k", flags.topK),
    topP: number("--top-p", flags.topP),
    minP: number("--min-p", flags.minP),
    repetitionPenalty: number("--repetition-penalty", flags.repetitionPenalty),
    seed: flags.seed === undefined ? null : seedOf(flags.seed),
    logprobs: flags.logprobs ?? null,
  };
  const sampling: SamplingOptions = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  try {
    samplingTables(sampling, 1, 1); // tokens with a bias are held against the vocabulary where that is known
    checkStops(flags.stop ?? []);
  } catch (fault) {
    if (!(fault instanceof InputError)) throw fault;
    const option = `--${(fault.input ?? "").replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new UserError(
      fault.message.startsWith(`${fault.input} `) ? fault.message.replace(fault.input!, option) : fault.message,
      fault.hint,
      EXIT.usage,
    );
  }
  return {
    sampling: bias.size === 0 ? sampling : { ...sampling, logitBias: bias },
    stop: flags.stop ?? [],
    maxTokens: flags.maxTokens === undefined ? null : wholeNumber("--max-tokens", flags.maxTokens, 1, 1e9),
  };
}

/** `65=-inf`, `65=2.5`: token and what is added to its logit. */
function biasOf(texts: readonly string[]): ReadonlyMap<number, number> {
  const given = Object.entries(pairs("--logit-bias", texts));
  return new Map(
    given.map(([token, value]) => {
      if (!/^\d+$/.test(token))
        throw new UserError(
          `--logit-bias ${token}=${value}: ${JSON.stringify(token)} is no token's number`,
          null,
          EXIT.usage,
        );
      const never = /^[-−]inf(inity)?$/i.test(value);
      return [Number(token), never ? -Infinity : anyNumber(`--logit-bias ${token}=`, value)];
    }),
  );
}
