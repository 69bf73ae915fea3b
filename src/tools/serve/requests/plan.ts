// What a request asks of the engine for each of its texts: prompt, sampling, ends and limits.
import type { EngineRequest } from "../../../generation/engine/index.js";
import { StopMatcher, type TokenConstraint } from "../../../generation/generate/index.js";
import { MIN_SCALE, samplingTables, type SamplingOptions } from "../../../generation/sampling/options.js";
import type { Call } from "./call.js";
import { invalid, RequestError } from "./errors.js";
import type { SharedFields } from "./fields.js";
import { constraintOf, type AskedForms } from "./forms.js";
import { inputsOf } from "./inputs.js";
import type { Served } from "./options.js";
import { tokensOf, tooMany, whichHas, type WirePrompt } from "./prompts.js";
import type { Reserved } from "./room.js";

/** One text that is asked for. */
export interface Planned {
  /** The place of its choice in the reply. */
  readonly index: number;
  readonly prompt: readonly number[];
  /** The field of the request that has it. */
  readonly field: Asked["field"];
  /** Finds strings that end the text. */
  readonly stops: StopMatcher;
  /** Special tokens whose texts are shown. */
  readonly shown?: ReadonlyMap<number, string>;
  readonly request: Omit<EngineRequest, "until" | "signal">;
}

export interface Asked {
  readonly fields: Partial<SharedFields> & AskedForms;
  /** How many prompts there are; asked for when all else has been found right. */
  readonly count: number;
  readonly prompts: () => Promise<readonly WirePrompt[]>;
  /** The field that has the prompts. */
  readonly field: "prompt" | "messages" | "input";
  /** Generated tokens of each text where neither request nor checkpoint says; null: as many as there is room for. */
  readonly usual: number | null;
  /** Alternatives of each generated token, and of each of the prompt; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  /** Special tokens whose texts are shown. */
  readonly shown?: ReadonlyMap<number, string>;
}

export interface Plans {
  readonly texts: readonly Planned[];
  /** Of all the texts. */
  readonly place: Reserved;
}

/**
 * Plans each choice, those of the first prompt first. Throws RequestError, InputError for sampling options, and
 * TokenizerError. Prompts are encoded last: what is refused for anything else, or has no room, costs nobody the time.
 */
export async function planned(served: Served, call: Call, asked: Asked): Promise<Plans> {
  const { fields, count, field } = asked;
  const { n = 1, stop = [], modc = {} } = fields;
  expectModel(served, fields.model);
  if (fields.stream_options && !fields.stream) throw invalid("stream_options needs stream", "stream_options");
  expectChoices(served, count, n);
  const stops = Array.from({ length: count * n }, () => new StopMatcher(stop));
  const live = liveOf(served, modc.live);
  const inputs = inputsOf(served, modc.inputs);
  const sampling = samplingOf(served, fields);
  samplingTables(sampling, served.engine.model.vocabulary);
  const place = served.room.take(count * n);
  try {
    const own = { name: field, context: served.context };
    const constraint = await call.before(constraintOf(served, fields));
    const prompts = await tokensOf(served, call, await asked.prompts(), own, field === "prompt");
    const common = { stops, sampling, live, inputs, constraint };
    return { texts: prompts.flatMap((prompt, p) => choicesOf(served, asked, { prompt, p, ...common })), place };
  } catch (fault) {
    place.release();
    throw fault;
  }
}

interface Shared {
  readonly prompt: readonly number[];
  readonly p: number;
  /** For each text of the request. */
  readonly stops: readonly StopMatcher[];
  readonly sampling: SamplingOptions;
  readonly live: Readonly<Record<string, number>> | null;
  readonly inputs: EngineRequest["inputs"] | null;
  /** Makes the constraint of a text; null if texts may have any form. */
  readonly constraint: (() => TokenConstraint) | null;
}

/** The choices of a prompt. */
function choicesOf(
  served: Served,
  asked: Asked,
  { prompt, p, stops, sampling, live, inputs, constraint }: Shared,
): readonly Planned[] {
  const { fields, logprobs, promptLogprobs } = asked;
  const { n = 1, modc = {} } = fields;
  const maxTokens = maxTokensOf(served, asked, prompt, p);
  return Array.from({ length: n }, (_, i) => ({
    index: p * n + i,
    prompt,
    field: asked.field,
    stops: stops[p * n + i]!,
    ...(asked.shown && { shown: asked.shown }),
    request: {
      prompt,
      maxTokens,
      sampling: { ...sampling, seed: seedOf(sampling.seed!, i) },
      ends: fields.ignore_eos ? [] : served.defaults.ends,
      logprobs,
      // Those of the prompt are the same for all its choices.
      promptLogprobs: i === 0 ? promptLogprobs : null,
      promptRoutes: modc.routes ?? false,
      ...(live && { live }),
      ...(inputs && { inputs }),
      ...(constraint && { constraint: constraint() }),
    },
  }));
}

/** Throws RequestError for more texts than a request may ask for. */
export function expectChoices({ limits }: Pick<Served, "limits">, prompts: number, n = 1): void {
  if (prompts * n <= limits.choices) return;
  throw tooMany(limits.choices, prompts * n, prompts > limits.choices ? "prompt" : "n");
}

/** Throws RequestError unless the model goes by this name. */
export function expectModel({ name, aliases }: Served, given: string | undefined): void {
  if (given === undefined || given === name || aliases.includes(given) || aliases.includes("*")) return;
  throw new RequestError(`there is no model ${JSON.stringify(given)}: this server has ${JSON.stringify(name)}`, {
    status: 404,
    type: "invalid_request_error",
    code: "model_not_found",
    param: "model",
  });
}

/** Seeds from 0. */
const SEEDS = 2 ** 53;

/** The seed of a prompt's choice: behind the last seed comes the first. */
const seedOf = (first: number, choice: number): number =>
  choice < SEEDS - first ? first + choice : choice - (SEEDS - first);

function samplingOf({ defaults, engine }: Served, fields: Partial<SharedFields>): SamplingOptions {
  const { temperature, top_p, top_k, min_p, repetition_penalty, presence_penalty, frequency_penalty } = fields;
  const given = {
    // Clients that want the likeliest token and may not say 0 say next to it.
    temperature: temperature !== undefined && temperature > 0 && temperature < MIN_SCALE ? 0 : temperature,
    topP: top_p,
    topK: top_k,
    minP: min_p,
    repetitionPenalty: repetition_penalty,
    presencePenalty: presence_penalty,
    frequencyPenalty: frequency_penalty,
  };
  const bias = fields.logit_bias && biasOf(fields.logit_bias, engine.model.vocabulary);
  return {
    temperature: 1, // as OpenAI's wire has it
    ...defaults.sampling,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    seed: fields.seed === undefined ? randomSeed() : fields.seed < 0 ? fields.seed + SEEDS : fields.seed,
    ...(bias && bias.size > 0 && { logitBias: bias }),
  };
}

function biasOf(given: ReadonlyMap<string, number>, vocabulary: number): ReadonlyMap<number, number> {
  return new Map(
    [...given].map(([token, value]) => {
      if (!/^(?:0|[1-9]\d{0,9})$/.test(token) || Number(token) >= vocabulary)
        throw invalid(
          `logit_bias has ${JSON.stringify(token.slice(0, 40))}: tokens are whole numbers from 0 to ${vocabulary - 1}`,
          "logit_bias",
        );
      return [Number(token), value];
    }),
  );
}

/** Of a text whose request names none. */
export const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;

function liveOf(
  { engine }: Served,
  given: ReadonlyMap<string, number> | undefined,
): Readonly<Record<string, number>> | null {
  if (given === undefined || given.size === 0) return null;
  const { live } = engine.model;
  for (const name of given.keys())
    if (!live.includes(name))
      throw invalid(
        `the model has no live parameter ${JSON.stringify(name.slice(0, 80))}: ` +
          (live.length === 0 ? "it has none" : `there are ${live.join(", ")}`),
        "modc.live",
      );
  return Object.fromEntries(given);
}

/** The context must hold all tokens that are read, and the last one is not. Prompts fit it: `tokensOf`, `promptsField`. */
function maxTokensOf(served: Served, asked: Asked, prompt: readonly number[], index: number): number {
  const { fields, usual, field } = asked;
  const { context } = served;
  const { vocabulary } = served.engine.model;
  const has = whichHas({ name: field }, index, asked.count);
  if (prompt.length === 0)
    throw invalid(`${has} no tokens: give at least one, such as the token that begins a text`, field);
  const wrong = prompt.find((token) => token >= vocabulary);
  if (wrong !== undefined)
    throw invalid(`${has} ${wrong}: tokens are whole numbers from 0 to ${vocabulary - 1}`, field);
  const room = context === null ? Infinity : context - prompt.length + 1;
  const wanted = fields.max_tokens ?? served.defaults.maxTokens ?? usual;
  return Math.min(wanted ?? (context === null ? served.limits.tokens : room), room);
}
