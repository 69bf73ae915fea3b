// What only Node can do: weights on disk. A page imports `index.ts` alone.
/// <reference path="../ambient.ts" preserve="true" />
export { openWeights, saveWeights, type SaveOptions } from "./weights-node.js";
export { leftover } from "./leftovers-node.js";
