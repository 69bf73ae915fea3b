// The optimized graph of a model's function. Editors and pages import it in place of `recipes.ts`, whose graphs of
// generation and training they would carry along.
import type { Model } from "../language/check/model.js";
import type { Graph } from "./ir/graph.js";
import { lower } from "./lower/lower.js";
import { optimize, type OptimizeOptions } from "./passes/index.js";

export const forwardGraph = (model: Model, passes?: OptimizeOptions): Graph => optimize(lower(model), passes);
