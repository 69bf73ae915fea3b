// Commands on sources: checking, formatting, compiling and inspecting.
import { bytesOf, pairsOf, positiveNumber, stepsOf, withValues } from "./arguments.js";
import * as o from "./options.js";
import { declare } from "./declare.js";

export const sourceCommands = {
  check: declare({
    takes: "<file>",
    opens: true,
    does: "find errors and warnings, in infer and, where there is an objective, in train",
    options: [...o.compiling, o.json],
  }),
  fmt: declare({
    takes: "<files...>",
    does: "print files in the canonical form, in place; standard input, which is -, to standard output",
    options: [
      o.option("--check", "write nothing; fail (1) where a file would change"),
      o.option("--stdout", "print instead of writing"),
      o.json,
    ],
  }),
  lsp: declare({
    takes: "",
    does: "speak the language server protocol on standard input and output, for an editor",
    options: [
      o.option("--stdio", "the only way there is; editors give it"),
      o.valued("--clientProcessId <id>", "the editor's process, which it also tells by the protocol", String),
    ],
  }),
  ir: declare({
    takes: "<file>",
    opens: true,
    does: "print the graph",
    options: [
      o.program,
      ...o.compiling,
      o.gradients,
      o.option("--after <pass>", "stop after this pass; `lower` is before any, `fuse` also prints the kernels"),
      o.option("--trace", "name each rule that fires"),
      o.option("--verify", "verify the graph after every pass"),
      o.option("--offsets", "show places as offsets into the text, as a graph read back keeps them"),
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
      o.printed("-o, --output <path>", "the file to write (default: print it)", "program"),
      o
        .option("--device <kind>", "compile for this device (default: for any, or such as --tunings are for)")
        .choices(["best", "gpu", "software", "swiftshader"]),
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
    does: "print each kernel: what was fused into it, from which lines, its tuning, its memory, its cost",
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
    does: "count operations, bytes, parameters, cache and memory, beside the same model with nothing skipped",
    options: [
      o.batch("1"),
      o.length("as many as the model allows"),
      o.at,
      o
        .option(
          "--convention <name>",
          "executed: what runs; mor: as the Mixture-of-Recursions paper counts (default executed)",
        )
        .choices(["executed", "mor"]),
      ...o.storage,
      o.live,
      o.valued("--budget <operations>", "print how many training steps' forward passes it pays for", positiveNumber),
      o.valued("--step-tokens <n>", "tokens of a step, for --budget", positiveNumber),
      o.program,
      o.loopCaches,
      ...o.compiling,
      o.json,
    ],
    note: `Bytes are those that each operator would read and write by itself, and memory
is that of a program for any device. \`modc plan\` tells both for the kernels of
one device.`,
  }),
  budget: declare({
    takes: "<file>",
    opens: true,
    does: "plan a training: what variants of a model cost, what a budget pays for, the memory that it takes",
    options: [
      o.valued("--flops <operations>", "operations to train with, such as 1e20", positiveNumber),
      o.valued("--tokens <n>", "tokens to train with, in place of --flops", positiveNumber),
      o.valued("--memory <bytes>", "of each device, such as 80GiB", bytesOf),
      o.whole("--devices <n>", "how many there are (default 1)", 1, 65536),
      o.batch("8 for each device"),
      o.length("as many as the model allows"),
      o.valued("--vary <name=value,…>", `values that a parameter may have ${o.REPEATABLE}: all products`, withValues),
      o.valued(
        "--grow <name=by,…>",
        "parameters by which the larger model is made, and by how much at a time (default depth=1)",
        stepsOf,
      ),
      o.valued("--curve <E=…,A=…,alpha=…,B=…,beta=…>", "L = E + A/N^alpha + B/D^beta, for a column of losses", pairsOf),
      o
        .option(
          "--convention <name>",
          "mor: as the Mixture-of-Recursions paper counts, forward passes alone (default executed)",
        )
        .choices(["executed", "mor"]),
      o
        .option(
          "--engine <name>",
          "torch: memory as training takes it that `modc export --to torch` writes (default modc)",
        )
        .choices(["modc", "torch"]),
      o.beside("-o, --output <path>", "draw the plan as this SVG too", "drawing"),
      o.set,
      o.model,
      o.json,
    ],
    note: `Memory is that of modc's own step on any device. What no account tells, such as
the loss, is not told: --curve gives one that was measured.`,
  }),
};
