// Commands on sources: checking, formatting, compiling and inspecting.
import { bytesOf, pairsOf, positiveNumber, stepsOf, withValues } from "./arguments.js";
import * as o from "./options.js";
import { declare } from "./declare.js";

export const sourceCommands = {
  check: declare({
    takes: "<file>",
    opens: true,
    does: "find errors and warnings, in infer and, if there is an objective, in train",
    options: [...o.compiling, o.json],
  }),
  fmt: declare({
    takes: "<files...>",
    does: "format files in place; - reads standard input and prints the result",
    options: [
      o.option("--check", "write nothing; exit with 1 if a file would change"),
      o.option("--stdout", "print instead of writing"),
      o.json,
    ],
  }),
  lsp: declare({
    takes: "",
    does: "run the language server for an editor, on standard input and output",
    options: [
      o.option("--stdio", "use standard input and output: the default, which editors pass explicitly"),
      o.valued("--clientProcessId <id>", "process id of the editor; the protocol sends it too", String),
    ],
  }),
  ir: declare({
    takes: "<file>",
    opens: true,
    does: "print the graph of a model",
    options: [
      o.program,
      ...o.compiling,
      o.gradients,
      o.option("--after <pass>", "stop after this pass; `lower` is before the first, `fuse` also prints the kernels"),
      o.option("--trace", "name each rule that fires"),
      o.option("--verify", "verify the graph after every pass"),
      o.option("--offsets", "show source places as offsets, the form that a graph keeps when it is read back"),
      o.json,
    ],
  }),
  wgsl: declare({
    takes: "<file> [kernel]",
    opens: true,
    does: "list the kernels of a model, or print one",
    options: [o.program, ...o.compiling, ...o.storage, o.option("--all", "print all of them"), o.json],
  }),
  compile: declare({
    takes: "<file>",
    opens: true,
    does: "write the compiled program as JSON",
    options: [
      o.printed("-o, --output <path>", "file to write (default: print it)", "program"),
      o.choice(
        "--device <kind>",
        ["best", "gpu", "software", "swiftshader"],
        "compile for this device (default: any device, or the kind that --tunings were measured on)",
      ),
      o.tunings,
      ...o.storage,
      o.keptLive,
      ...o.compiling,
      o.json,
    ],
  }),
  plan: declare({
    takes: "<file>",
    opens: true,
    does: "print each kernel: the operators fused into it, their source lines, tuning, memory and cost",
    options: [
      o.batch("1"),
      o.length("512, or as many as the model allows"),
      o.at,
      o.target,
      o.hardware,
      ...o.storage,
      o.live,
      o.gradients,
      o.program,
      ...o.compiling,
      o.json,
    ],
  }),
  cost: declare({
    takes: "<file>",
    opens: true,
    does: "count operations, bytes, parameters, cache and memory, next to the same model with nothing skipped",
    options: [
      o.batch("1"),
      o.length("as many as the model allows"),
      o.at,
      o.choice(
        "--convention <name>",
        ["executed", "mor"],
        "counting rule; executed: all that runs; mor: as in the Mixture-of-Recursions paper (default executed)",
      ),
      ...o.storage,
      o.live,
      o.valued(
        "--budget <operations>",
        "number of operations; prints how many training steps' forward passes it allows",
        positiveNumber,
      ),
      o.valued("--step-tokens <n>", "tokens in a training step, for --budget", positiveNumber),
      o.program,
      o.loopCaches,
      o.latent,
      ...o.compiling,
      o.json,
    ],
    note: `Bytes are counted as if each operator read and wrote its own, and memory is that
of a program for any device. \`modc plan\` shows both for the kernels of one device.`,
  }),
  budget: declare({
    takes: "<file>",
    opens: true,
    does: "plan a training run: cost of variants of a model, training that a budget allows, memory needed",
    options: [
      o.valued("--flops <operations>", "number of operations to train with, such as 1e20", positiveNumber),
      o.valued("--tokens <n>", "number of tokens to train on, in place of --flops", positiveNumber),
      o.valued("--memory <bytes>", "memory of each device, such as 80GiB", bytesOf),
      o.whole("--devices <n>", "number of devices (default 1)", 1, 65536),
      o.batch("8 for each device"),
      o.length("as many as the model allows"),
      o.valued(
        "--vary <name=value,…>",
        `values of a parameter to compare ${o.REPEATABLE}: all combinations`,
        withValues,
      ),
      o.valued(
        "--grow <name=by,…>",
        "parameters that make the model larger, and the step of each (default depth=1)",
        stepsOf,
      ),
      o.valued(
        "--curve <E=…,A=…,alpha=…,B=…,beta=…>",
        "scaling law L = E + A/N^alpha + B/D^beta, for a column of losses",
        pairsOf,
      ),
      o.choice(
        "--convention <name>",
        ["executed", "mor"],
        "counting rule; mor: as in the Mixture-of-Recursions paper, forward passes alone (default executed)",
      ),
      o.choice(
        "--engine <name>",
        ["modc", "torch"],
        "engine whose memory is estimated; torch: training in a folder of `modc export --to torch` (default modc)",
      ),
      o.beside("-o, --output <path>", "also draw the plan as this SVG file", "drawing"),
      o.set,
      o.model,
      o.json,
    ],
    note: `Memory is that of modc's own training step on any device. With --engine torch it is
an estimate; \`memory.py\` of the exported folder counts exactly. modc does not predict
the loss: --curve takes a measured scaling law.`,
  }),
};
