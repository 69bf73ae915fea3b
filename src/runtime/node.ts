// The part of the runtime for Node only: weights on disk. A page imports only `index.ts`.
/// <reference path="../ground/ambient.ts" preserve="true" />
export { openWeights, saveTensors, saveWeights, type SavedTensor, type SaveOptions } from "./weights/weights-node.js";
export { leftover } from "../ground/files/leftovers-node.js";
