// The parts of opened models that need the compiler or a tokenizer: a single module, so that bundles have few chunks.
// It is loaded when the first part is needed. Node only.
export { blocksOf } from "./blocks.js";
export { openFolder, openGgufFile } from "./checkpoints-node.js";
export { explainWeights, explanation } from "./explain-weights.js";
export { declaredLive } from "./live.js";
export { openTexts } from "./texts-node.js";
