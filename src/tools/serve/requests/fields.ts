// Fields that requests for completions and chats share, and what modc does not have of OpenAI's.
import type { Nested } from "../../../runtime/index.js";
import { flag, type Read, real, whole } from "../../../runtime/program/reader.js";
import { formFields, type FormFields } from "./forms.js";
import { between, body, oneOrMore, record, type Fields, type Unsupported } from "./body.js";
import { nested } from "./inputs.js";

/** Seeds go up to 2^53 − 1; negative ones count down from 2^53. */
const seed: Read<number> = whole(Number.MIN_SAFE_INTEGER);

const STOPS = { most: 16, characters: 256 };

/** The most alternatives of a token. */
export const MOST_ALTERNATIVES = 20;

export interface SharedFields extends FormFields {
  readonly model: string;
  readonly n: number;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly min_p: number;
  readonly repetition_penalty: number;
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  readonly logit_bias: ReadonlyMap<string, number>;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly ignore_eos: boolean;
  readonly stream: boolean;
  readonly stream_options: { readonly include_usage?: boolean };
  readonly user: string;
  readonly modc: {
    readonly routes?: boolean;
    readonly live?: ReadonlyMap<string, number>;
    readonly inputs?: ReadonlyMap<string, Nested>;
  };
}

/** Of a request without texts of its own, such as the user's name, nothing is kept. */
export const shared: Fields<SharedFields> = {
  model: (r) => r.string(),
  n: whole(1),
  max_tokens: whole(0),
  temperature: real,
  top_p: between(0, 1),
  top_k: whole(0),
  min_p: between(0, 1),
  repetition_penalty: real,
  presence_penalty: between(-2, 2),
  frequency_penalty: between(-2, 2),
  logit_bias: record(between(-100, 100), 4096),
  seed,
  stop: oneOrMore(STOPS.most, STOPS.characters),
  ignore_eos: flag,
  stream: flag,
  stream_options: body<object, { include_usage: boolean }>(
    {},
    { include_usage: flag },
    { include_obfuscation: [false] },
  ),
  user: (r) => r.string(),
  ...formFields,
  modc: body<object, { routes: boolean; live: ReadonlyMap<string, number>; inputs: ReadonlyMap<string, Nested> }>(
    {},
    { routes: flag, live: record(real, 64), inputs: record(nested, 64) },
  ),
};

/** Fields of llama.cpp's server, with the values that say what modc does anyway. */
const LLAMA_CPP: Unsupported = {
  cache_prompt: [true],
  id_slot: [-1],
  return_progress: [false],
  timings_per_token: [false],
};

export const LACKING_IN_COMPLETIONS: Unsupported = { ...LLAMA_CPP, suffix: [""], best_of: [1] };

export const LACKING_IN_CHATS: Unsupported = {
  ...LLAMA_CPP,
  audio: [],
  function_call: ["none"],
  functions: [[]],
  metadata: [{}],
  modalities: [["text"]],
  moderation: [],
  prediction: [],
  prompt_cache_key: [],
  prompt_cache_options: [],
  prompt_cache_retention: [],
  reasoning_effort: [],
  safety_identifier: [],
  service_tier: ["auto", "default"],
  store: [false],
  verbosity: ["medium"],
  web_search_options: [],
};
