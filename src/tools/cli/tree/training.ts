// Commands that train and evaluate a model.
import { wholeNumber } from "./arguments.js";
import * as o from "./options.js";
import { declare, type Flags } from "./declare.js";

export const trainingCommands = {
  train: declare({
    takes: "[file]",
    opens: true,
    does: "train a model on a text or on records: checkpoints, log.jsonl and report.html in a folder",
    options: [
      o.data(),
      o.tokenizer,
      o.field,
      ...o.records,
      o.pack,
      o.required("-o, --output <folder>", "folder of the run"),
      o.valued(
        "--resume [step]",
        "continue from the last checkpoint in the folder, or that of a step; model, text and options default to " +
          "the run's",
        (name, text) => wholeNumber(name, text, 0, Number.MAX_SAFE_INTEGER),
      ),
      o.option("--tensorboard", "also write the log's figures for TensorBoard, to a folder inside that of the run"),
      o.weightsFrom("start from these weights (default: the model's own, or random weights from --seed)"),
      o.live,
      o.named(
        "--live-schedule <name=value@step,…>",
        "schedule of a live parameter: capacity=100%@0,12.5%@2000, or @50% of the run",
      ),
      o.tunings,
      o.device,
      o.set,
      o.model,
      o.json,
      ...o.settings,
    ],
  }),
  eval: declare({
    takes: "<file>",
    opens: true,
    does:
      "measure loss, perplexity and bits per byte on a text, and how much they change with another type of weights; " +
      "or answer the questions of a task",
    options: [
      o.option(
        "--data <what>",
        "text to read: a file, a folder of files, JSONL, or an installed package (default: the training text of a run)",
      ),
      o.option(
        "--task <path>",
        "questions to answer in place of --data: JSONL with {prompt, choices, answer} or {prompt, answer} in a line",
      ),
      o.beside(
        "--log-probabilities <path>",
        "write the records of --data (JSONL) with the log-probabilities of their texts; preferences get " +
          "reference_chosen and reference_rejected",
        null,
      ),
      o.tokenizer,
      o.field,
      ...o.records,
      o.weights,
      o.choice(
        "--rule <rule>",
        ["top-k", "causal"],
        "rule by which layers choose tokens; top-k sees the whole sequence, causal the past (default: both)",
      ),
      o.batch("8"),
      o.length("the run's, else as many as the model allows, at most 2048"),
      o.validation("read only this share (default: the whole text)"),
      o.windows("all"),
      o.live,
      o.seed,
      o.weightsAs,
      o.tunings,
      o.device,
      o.set,
      o.model,
      o.json,
    ],
  }),
  compare: declare({
    takes: "<runs...>",
    does:
      "compare runs on the same text: losses by rule, operations, tokens, time, memory, and the parameters and " +
      "settings that differ",
    options: [o.beside("-o, --output <path>", "write a page with curves (HTML)", "page"), o.json],
  }),
  routes: declare({
    takes: "<file>",
    opens: true,
    does:
      "show what a model's routers do on a text: shares by layer, kind of token and position, tokens always or " +
      "never computed, and how another checkpoint differs",
    options: [
      o.option(
        "--data <what>",
        "text to read: a file, a folder of files, JSONL, or an installed package (default: the training text of a run)",
      ),
      o.option("--text <text>", "text in place of --data: the text, @file, or - for standard input"),
      o.tokenizer,
      o.field,
      o.weights,
      o.option("--against <weights>", "another checkpoint of the same model, to compare its choices"),
      o.beside("-o, --output <path>", "write a page with plots (HTML)", "page"),
      o.choice(
        "--rule <rule>",
        ["top-k", "causal"],
        "rule by which layers choose tokens (default: both, and how often they agree)",
      ),
      o.batch("8"),
      o.length("the run's, else as many as the model allows, at most 2048"),
      o.validation("read only this share (default: the whole text)"),
      o.windows("256"),
      o.live,
      o.seed,
      o.tunings,
      o.device,
      o.set,
      o.model,
      o.json,
    ],
  }),
};

export type TrainFlags = Flags<typeof trainingCommands.train>;
