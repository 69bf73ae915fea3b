// Commands that train and evaluate a model.
import { wholeNumber } from "./arguments.js";
import * as o from "./options.js";
import { declare, type Flags } from "./declare.js";

export const trainingCommands = {
  train: declare({
    takes: "[file]",
    opens: true,
    does: "train a model on a text: checkpoints, log.jsonl and report.html in a folder",
    options: [
      o.data(),
      o.tokenizer,
      o.field,
      o.required("-o, --output <folder>", "the folder of the run"),
      o.valued(
        "--resume [step]",
        "go on from the last checkpoint of the folder, or that of a step; model, text and options that are not " +
          "given are those of the run",
        (name, text) => wholeNumber(name, text, 0, Number.MAX_SAFE_INTEGER),
      ),
      o.option(
        "--tensorboard",
        "write the log's figures as TensorBoard reads them, too, to a folder in that of the run",
      ),
      o.option("--weights <path>", "begin with these weights instead of those of the seed"),
      o.live,
      o.named(
        "--live-schedule <name=value@step,…>",
        "a live parameter that changes: capacity=100%@0,12.5%@2000, or @50% of the run",
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
      "loss, perplexity and bits per byte of a model on a text; how far it deviates when its weights are stored " +
      "otherwise",
    options: [
      o.option(
        "--data <what>",
        "a text file, a folder of them, JSONL, or an installed package (default: of a run, the text it was trained on)",
      ),
      o.tokenizer,
      o.field,
      o.weights,
      o
        .option(
          "--rule <rule>",
          "which tokens layers compute: top-k sees the whole sequence, causal does not (default: both)",
        )
        .choices(["top-k", "causal"]),
      o.batch("8"),
      o.length("of a run as it was trained, else as many as the model allows, at most 2048"),
      o.validation("only that (default: the whole text)"),
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
  routes: declare({
    takes: "<file>",
    opens: true,
    does:
      "what a model's routes do over a text: shares by layer, kind of token and place, what the token alone decides, " +
      "tokens never or always computed; how another checkpoint chooses",
    options: [
      o.option(
        "--data <what>",
        "a text file, a folder of them, JSONL, or an installed package (default: of a run, its text)",
      ),
      o.option("--text <text>", "in place of --data: a text, @file, or - for standard input"),
      o.tokenizer,
      o.field,
      o.weights,
      o.option("--against <weights>", "another checkpoint of the same model: how its choices differ"),
      o.beside("-o, --output <path>", "write a page with plots (HTML)", "page"),
      o
        .option("--rule <rule>", "which rule chooses (default: both, and how far they agree)")
        .choices(["top-k", "causal"]),
      o.batch("8"),
      o.length("of a run as it was trained, else as many as the model allows, at most 2048"),
      o.validation("only that (default: the whole text)"),
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
