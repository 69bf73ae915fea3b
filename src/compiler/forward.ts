// The optimized graph of a model's function, the program `infer` of `recipes.ts`. Editors and pages import this file,
// because `recipes.ts` imports generation and training too.
import type { Model } from "../language/check/model/model.js";
import type { Graph } from "./ir/graph.js";
import { lower } from "./lower/lower.js";
import { optimize, type OptimizeOptions } from "./passes/index.js";

export const forwardGraph = (model: Model, passes?: OptimizeOptions): Graph => optimize(lower(model), passes);
