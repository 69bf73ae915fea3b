// What only Node can do: weights on disk. A page imports `index.ts` alone.
export { openWeights, saveWeights, writeWhole, type SaveOptions } from "./weights-node.js";
