// The generation part of a package's `index.d.ts`.

/** The types of `generate`: its options and results. */
export const GENERATION_TYPES = `
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A text, tokens, or a conversation where the model is to answer (by the package's chat template). */
export type Prompt = string | ArrayLike<number> | readonly Message[];

export interface SamplingOptions {
  /**
   * What logits are divided by; 0 takes the largest. Default 0, or 1 where one of \`topK\`, \`topP\`, \`minP\`,
   * \`seed\` is given.
   */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** A whole number from 0 to 2^53 − 1. */
  readonly seed?: number;
  /** Added to the logits of tokens; −Infinity: never. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** Whether the log-probability of each token is computed. */
  readonly logprobs?: boolean;
}

export interface GenerateOptions {
  /**
   * How tokens are chosen, in all texts or in each. What is not given is as the checkpoint says, else the most likely
   * token is taken.
   */
  readonly sampling?: SamplingOptions | readonly SamplingOptions[];
  /** Tokens added to each text, at most. */
  readonly maxTokens?: number;
  /** A string that ends a text, and is no part of it, or several. */
  readonly stop?: string | readonly string[];
  /** Tokens that end a text. */
  readonly ends?: readonly number[];
  /** Ends the generation: the iterator throws its reason. */
  readonly signal?: AbortSignal;
}

/** A token, and what it adds to its text. */
export interface Generated {
  /** Which of the prompts it continues. */
  readonly sequence: number;
  /** Its place among the tokens added to that. */
  readonly index: number;
  readonly token: number;
  /** Whole characters; those that are not complete come with a later token. */
  readonly text: string;
  /** Natural logarithm of its probability, where sampling is to tell it. */
  readonly logprob: number | null;
  /** How many layers computed the token before it; null where that was read with others of its prompt. */
  readonly depth: number | null;
  /** Of each route, in the order of the summary's, whether that token took it; null as with the depth. */
  readonly routes: readonly boolean[] | null;
  /** Why its text ends here; null: it does not. */
  readonly finish: "end" | "stop" | "length" | "context" | null;
}

/** What a generation has done, at its end. */
export interface GenerationSummary {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /**
   * Milliseconds from the call to the first token; how many of them kernels were waited for; and from then to the last,
   * without what kernels were waited for.
   */
  readonly firstToken: number;
  readonly compiling: number;
  readonly generation: number;
  /** All tokens first, then those that took each route. */
  readonly routes: readonly { readonly path: string; readonly layers: number; readonly tokens: number }[];
  /**
   * Bytes of keys and values: of tokens that took each layer, of all memory set aside, and if every token took every
   * layer.
   */
  readonly cache: { readonly used: number; readonly allocated: number; readonly dense: number };
  /** Floating-point operations of a token on average, and where every token takes every layer. */
  readonly flops: { readonly own: number; readonly dense: number } | null;
}
`;

const TURNS = `A call waits until earlier
   * calls have ended, or their loops were left. Throws a ModelError.`;
const together = (maxBatch: number): string => `Calls may be under
   * way at once, each with the tokens that it has alone: at most ${maxBatch} texts are generated together, and others
   * wait. Throws a ModelError.`;

/**
 * Members of `LoadedModel`. `maxBatch`: the most sequences that an engine generates at once; undefined without an
 * engine.
 */
export const generateMember = (maxBatch: number | undefined): string => `  /**
   * Goes on from a prompt, or from each of several: tokens as they come, texts taking turns. ${
     maxBatch === undefined ? TURNS : together(maxBatch)
   }
   */
  generate(
    prompt: Prompt | { readonly prompts: readonly Prompt[] },
    options?: GenerateOptions,
  ): AsyncGenerator<Generated, GenerationSummary>;
`;

/** A member of `LoadOptions`. */
export const USE_MEMBER = `  /** What it is loaded for; without it for both. */
  readonly use?: "run" | "generate";
`;
