// Commands that train a model and measure what it learned.
import { wholeNumber } from "../arguments.js";
import * as o from "../options.js";
import { declare, type Flags } from "./declare.js";

export const trainingCommands = {
  train: declare({
    takes: "[file]",
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
      o.option("--weights <path>", "begin with these weights instead of those of the seed"),
      o.option("--steps <n>", "steps of the optimiser (default 1000)"),
      o.batch("8"),
      o.option("--accumulate <n>", "batches of a step, whose gradients are added up (default 1)"),
      o.length("as many as the model allows, at most 2048"),
      o.seed,
      o.option("--optimizer <name>", "default adamw").choices(["adamw", "sgd"]),
      o.option("--lr <rate>", "learning rate (default 1e-3; sgd 0.1)"),
      o
        .option("--schedule <name>", "of the learning rate after the warm-up (default cosine)")
        .choices(["cosine", "constant", "linear", "wsd"]),
      o.option("--warmup <steps>", "steps over which the learning rate rises (default a tenth, at most 100)"),
      o.option("--min-lr <rate>", "where cosine, linear and wsd end (default a tenth of --lr)"),
      o.option("--decay <steps>", "steps over which wsd falls (default a fifth)"),
      o.option("--weight-decay <x>", "of matrices, not of norms, biases and embeddings (default 0.1; sgd 0)"),
      o.option("--beta1 <x>", "of adamw (default 0.9)"),
      o.option("--beta2 <x>", "of adamw (default 0.95)"),
      o.option("--eps <x>", "of adamw (default 1e-8)"),
      o.option("--momentum <x>", "of sgd (default 0.9)"),
      o.option(
        "--recompute <layers>",
        "layers whose results are computed again rather than kept: none (the default), all, or paths, * for any " +
          "characters",
      ),
      o.option(
        "--memory <bytes>",
        "what training may take on the device, such as 2GiB: as many layers are computed again as that needs",
      ),
      o.option("--clip <norm>", "largest norm of all gradients together (default 1; 0: any)"),
      o.live,
      o.named(
        "--live-schedule <name=value@step,…>",
        "a live parameter that changes: capacity=100%@0,12.5%@2000, or @50% of the run",
      ),
      o.option(
        "--only <patterns>",
        "weights that learn: paths or names in them such as router,guess, * for any characters, separated by " +
          "commas (default all)",
      ),
      o.validation("it is held out (default 5%; 0: nothing)"),
      o.windows("64"),
      o.option("--validate-every <steps>", "default 100"),
      o.option("--checkpoint-every <steps>", "default 500; also at the end and whenever validation is the best so far"),
      o.option("--keep <n>", "checkpoints that stay, beside the best (default 3)"),
      o.tunings,
      o.device,
      o.set,
      o.model,
      o.json,
    ],
  }),
  eval: declare({
    takes: "<file>",
    opens: true,
    does: "loss, perplexity and bits per byte of a model on a text",
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
      o.tunings,
      o.device,
      o.set,
      o.model,
      o.json,
    ],
  }),
};

export type TrainFlags = Flags<typeof trainingCommands.train>;
