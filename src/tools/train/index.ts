// The public API of training, for Node: `train`, which trains a model file on a text, and its parts.
/// <reference path="../../ground/ambient.ts" preserve="true" />
export type { TextInputs } from "../../language/check/model/text-inputs.js";
export { batchAt, batchesOf } from "./batches.js";
export { compareRuns } from "./compare-node.js";
export type { ComparedRun, Comparison } from "./compare.js";
export { readCheckpoint, type Checkpoint } from "./checkpoint-node.js";
export { openCorpus, type Corpus, type CorpusOptions } from "./corpus-node.js";
export { TrainError, type TrainErrorCode } from "./errors.js";
export type { Passage, TrainEvent } from "./events.js";
export { loop, type LoopOptions, type Place } from "./loop.js";
export { readLog, type LogEntry } from "./log-node.js";
export type { RunOrigin as Begun, Manifest } from "../../models/runs/manifest.js";
export { compileTraining, type CompiledTraining, type TrainingPrograms, type TrainingSource } from "./programs.js";
export { before, type Before } from "./resume-node.js";
export { openRunFolder, type RunFolder } from "./run-folder-node.js";
export { trainModel } from "./run-node.js";
export type { RunModel, RunOptions } from "./run-options.js";
export type { DataOptions, RecordSettings, TrainingData } from "./data.js";
export type { TrainResult, Validated } from "./events.js";
export { SourceError } from "../../language/diagnostics/errors.js";
export type { ChooseTunings, Preparation } from "./open-trainer.js";
export { train, type TrainOptions } from "./train-node.js";
export { learningRate, piecewiseLinear, type LearningRateOptions, type Point, type Schedule } from "./schedule.js";
export { withDefaults } from "./settings.js";
export type { TrainSettings } from "./options.js";
export { createTrainer, type TrainerOptions, type TrainerProgram } from "./trainer.js";
export type {
  Batch,
  EvaluateOptions,
  Evaluation,
  Rule,
  StateTensor,
  StepMetrics,
  StepSettings,
  Trainer,
  TrainingState,
} from "./types.js";
export { split, wholeWindows, type DataPosition, type Split } from "./windows.js";
