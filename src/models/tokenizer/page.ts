// The public API of tokenizers in a page: encoding, decoding, streaming, and chat prompts.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export { chatTemplate, type ChatOptions, type ChatTemplate, type Message } from "./chat.js";
export { TokenizerError, type TokenizerErrorCode } from "./errors.js";
export { decoderAfter, type PlacedDecoder } from "./text-stream.js";
export { piecesOf, TextStream } from "./text-stream.js";
export { bytesTokenizer, parseTokenizer, type Tokenizer } from "./tokenizer.js";
