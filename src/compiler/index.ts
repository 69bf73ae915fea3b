// The public API: the compiler and its stages. The runtime is `modc/runtime`.
/// <reference path="../ground/ambient.ts" preserve="true" />
export { compile, type CompileOptions, type Compiled } from "./compile.js";
export {
  compileGeneration,
  GenerationError,
  generationModel,
  type CompiledGeneration,
  type CompileGenerationOptions,
  type GenerationModel,
} from "./compile-generation.js";
export { check, type CheckOptions } from "../language/check/check.js";
export type { Entry, Model, Phase } from "../language/check/model/model.js";
export { emit } from "./codegen/emit.js";
export type { Code } from "../language/diagnostics/catalogue.js";
export { ModcError } from "../ground/base/errors.js";
export { CompilerBug } from "../ground/base/invariant.js";
export type { Diagnostic } from "../language/diagnostics/diagnostic.js";
export { formatDiagnostics, type FormatOptions } from "../language/diagnostics/format.js";
export type { SourceFile, Span } from "../language/diagnostics/span.js";
export type { Graph, Node } from "./ir/graph.js";
export { parseGraph } from "./ir/parse.js";
export { printGraph } from "./ir/print.js";
export { verify } from "./ir/verify.js";
export { lower } from "./lower/lower.js";
export { ops } from "./ops/index.js";
export { optimize, passes } from "./passes/index.js";
export { parseGeneration, printGeneration, type Generation } from "../runtime/program/generation.js";
export type { Program } from "../runtime/program/program.js";
export {
  PORTABLE,
  TargetError,
  type ActivationType,
  type Precision,
  type Target,
  type WeightType,
} from "../runtime/program/target.js";
export { parseProgram, printProgram } from "../runtime/program/serialize.js";
export { evaluate } from "./reference/evaluate.js";
export { schedule } from "./schedule/schedule.js";
export { checkTunings, parseTunings, printTunings, TuningsError, type TuningsFile } from "./schedule/tunings/file.js";
export type { Tunings } from "./schedule/tunings/index.js";
export { formatSource } from "../language/syntax/format/format-source.js";
export { parse } from "../language/syntax/parse.js";
