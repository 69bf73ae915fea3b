// The public API of tokenizers in Node: what a page has, and tokenizers from files.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export * from "./page.js";
export { openTokenizer, parseTokenizer, type OpenedTokenizer, type TokenizerInfo } from "./tokenizer-node.js";
