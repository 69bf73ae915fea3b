// The public API of sessions, in Node: opens a model's file or folder to generate text.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export { ConstraintError, type Form } from "../../generation/constrain/index.js";
export { SessionError, SourceError } from "../../language/diagnostics/errors.js";
export { openEngine, type OpenedEngine, type OpenEngineOptions } from "./engine-node.js";
export { openSession, type OpenSessionOptions } from "./open-node.js";
export type { Prompt, Prompts } from "../../generation/generate/prompts.js";
export { TextSession, type SessionTexts } from "./session.js";
export type {
  GeneratedText,
  GenerateTextOptions,
  Finish,
  SamplingOptions,
  Summary,
} from "../../generation/generate/index.js";
export type { Message } from "../../models/tokenizer/chat.js";
