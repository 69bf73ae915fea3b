// The public API of serving: a function from request to reply, in Node or in a page's service worker.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export type {
  Engine,
  EngineEvent,
  EngineModel,
  EngineObserver,
  EngineOptions,
  EngineRequest,
  EngineStream,
  EngineToken,
  PromptRead,
  RequestUse,
} from "../../generation/engine/index.js";
export { createEngine } from "../../generation/engine/index.js";
export { RequestError } from "./requests/errors.js";
export { Metrics } from "./requests/metrics.js";
export {
  isLoopback,
  LIMITS,
  LOOPBACK,
  type Embedder,
  type Limits,
  type RequestEntry,
  type ServeDefaults,
  type ServeOptions,
  type TokenizerInfo,
} from "./requests/options.js";
export { CHAT_PAGE, type PageFile } from "./page/files.js";
export { createServer, type Server } from "./server.js";
