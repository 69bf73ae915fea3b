// The generation part of a package's `index.d.ts`.

/** The types of `generate`: its options and results. */
export const GENERATION_TYPES = `
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A text, tokens, or the messages of a chat to answer (by the package's chat template). */
export type Prompt = string | ArrayLike<number> | readonly Message[];

export interface SamplingOptions {
  /**
   * Divides the logits; 0 takes the most likely token. Default 0, or 1 if \`topK\`, \`topP\`, \`minP\` or
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
   * How to choose tokens, for all texts or for each. Defaults are the checkpoint's; without them the most likely token
   * is taken.
   */
  readonly sampling?: SamplingOptions | readonly SamplingOptions[];
  /** The most tokens to add to each text. */
  readonly maxTokens?: number;
  /** A string, or several, before which a text ends. */
  readonly stop?: string | readonly string[];
  /** Tokens that end a text. */
  readonly ends?: readonly number[];
  /** Ends the generation: the iterator throws its reason. */
  readonly signal?: AbortSignal;
}

/** A token, and its addition to the text. */
export interface Generated {
  /** The number of its prompt. */
  readonly sequence: number;
  /** Its place among the tokens added to the prompt. */
  readonly index: number;
  readonly token: number;
  /** Whole characters; an incomplete character comes with a later token. */
  readonly text: string;
  /** Natural logarithm of its probability, with \`logprobs\`; else null. */
  readonly logprob: number | null;
  /** The number of layers that computed the previous token; null if it was read with the rest of its prompt. */
  readonly depth: number | null;
  /** Whether the previous token took each route, in the order of the summary; null if \`depth\` is. */
  readonly routes: readonly boolean[] | null;
  /** The reason of the end of its text; null: the text continues. */
  readonly finish: "end" | "stop" | "length" | "context" | null;
}

/** Figures of a generation, at its end. */
export interface GenerationSummary {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /**
   * Milliseconds: from the call to the first token; the part of them spent compiling kernels; and from the first token
   * to the last, without compiling kernels.
   */
  readonly firstToken: number;
  readonly compiling: number;
  readonly generation: number;
  /** All tokens first, then those that took each route. */
  readonly routes: readonly { readonly path: string; readonly layers: number; readonly tokens: number }[];
  /**
   * Bytes of keys and values: in use, allocated, and if every layer computed every token.
   */
  readonly cache: { readonly used: number; readonly allocated: number; readonly dense: number };
  /** Mean floating-point operations of a token, and if every layer computed every token. */
  readonly flops: { readonly own: number; readonly dense: number } | null;
}
`;

const TURNS = `A call waits until earlier
   * calls have ended, or their loops were left. Throws a ModelError.`;
const together = (maxBatch: number): string => `Calls may run
   * at the same time, with the same tokens as alone: at most ${maxBatch} texts are generated together, and others
   * wait. Throws a ModelError.`;

/**
 * Members of `LoadedModel`. `maxBatch`: the most sequences that an engine generates at once; undefined without an
 * engine.
 */
export const generateMember = (maxBatch: number | undefined): string => `  /**
   * Continues a prompt, or each of several: yields tokens as they come, in turn for each text. ${
     maxBatch === undefined ? TURNS : together(maxBatch)
   }
   */
  generate(
    prompt: Prompt | { readonly prompts: readonly Prompt[] },
    options?: GenerateOptions,
  ): AsyncGenerator<Generated, GenerationSummary>;
`;

/** A member of `LoadOptions`. */
export const USE_MEMBER = `  /** The use of the model; default: both. */
  readonly use?: "run" | "generate";
`;
