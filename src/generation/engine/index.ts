// The engine: many requests at once on one device.
export { EngineClosedError, QueueFullError } from "./errors.js";
export type * from "./types.js";
export { createEngine } from "./engine.js";
export type { EngineOptions } from "./options.js";
