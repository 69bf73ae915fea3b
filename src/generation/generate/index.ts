// The public API of generation, without the compiler: compiled programs, a device and weights produce tokens.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export { parseGeneration, printGeneration, type Generation } from "../../runtime/program/generation.js";
export { ExpertLog, type ChosenEntries } from "../engine/experts.js";
export { createGenerator } from "./create.js";
export type { Generator } from "./generator.js";
export type { AllowedTokens } from "../sampling/constrained.js";
export type { SamplingOptions } from "../sampling/options.js";
export type { Message, Prompt, Prompts } from "./prompts.js";
export { ByteText, StopMatcher, type Streamed } from "./stop.js";
export { type GeneratedText, generateText, type GenerateTextOptions, type TextCodec } from "./text.js";
export type {
  EntryUse,
  Finish,
  GeneratedToken,
  GenerateOptions,
  GeneratorOptions,
  PromptRead,
  Recovered,
  RowReader,
  RouteUse,
  Summary,
  TokenConstraint,
} from "../types.js";
export { TextWriter, type TokenDecoder } from "./stop.js";
