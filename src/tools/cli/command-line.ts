// Assembles the command line: all commands in order, each imported when it is called, and the general help.
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { type ExitCode, EXIT } from "./terminal/exit.js";
import { io, type Output } from "./terminal/io.js";
import { add, SAFE } from "./add.js";
import type { Declared, Given } from "./tree/declare.js";
import { modcVersion } from "./tree/version.js";
import { aboutCommands } from "./tree/about.js";
import { runningCommands } from "./tree/running.js";
import { sourceCommands } from "./tree/source.js";
import { trainingCommands } from "./tree/training.js";
import { weightCommands } from "./tree/weights.js";
import { UsageError } from "./tree/usage.js";

/** All commands in order, grouped by purpose. */
export const COMMANDS = {
  "Sources:": sourceCommands,
  "Weights and packages:": weightCommands,
  "On a device:": runningCommands,
  "Training:": trainingCommands,
  "About modc:": aboutCommands,
} as const;

type All = typeof sourceCommands &
  typeof weightCommands &
  typeof runningCommands &
  typeof trainingCommands &
  typeof aboutCommands;

type CommandName = keyof All;

type Acts = { readonly [N in CommandName]: (...given: Given<All[N]>) => Promise<ExitCode> | ExitCode };

const actsOf = (program: CommandUnknownOpts): Acts => ({
  check: async (...given) => (await import("./commands/check.js")).check(...given),
  fmt: async (...given) => (await import("./commands/fmt.js")).fmt(...given),
  lsp: async () => (await import("./lsp/connection.js")).lsp(),
  ir: async (...given) => (await import("./program/ir.js")).ir(...given),
  wgsl: async (...given) => (await import("./program/compile.js")).wgsl(...given),
  compile: async (...given) => (await import("./program/compile.js")).compile(...given),
  plan: async (...given) => (await import("./program/plan.js")).plan(...given),
  cost: async (...given) => (await import("./program/cost.js")).cost(...given),
  budget: async (...given) => (await import("./program/budget.js")).budget(...given),
  new: async (...given) => (await import("./new/new.js")).newProject(...given),
  init: async (...given) => (await import("./build/init.js")).init(...given),
  import: async (...given) => (await import("./build/import.js")).importFolder(...given),
  adapt: async (...given) => (await import("./build/adapt.js")).adapt(...given),
  merge: async (...given) => (await import("./build/convert.js")).merge(...given),
  quantize: async (...given) => (await import("./build/convert.js")).quantize(...given),
  convert: async (...given) => (await import("./build/convert.js")).convert(...given),
  build: async (...given) => (await import("./build/build.js")).build(...given),
  export: async (...given) => (await import("./build/export.js")).exportModel(...given),
  run: async (...given) => (await import("./run/run.js")).run(...given),
  profile: async (...given) => (await import("./program/profile.js")).profile(...given),
  bench: async (...given) => (await import("./bench/bench.js")).bench(...given),
  tune: async (...given) => (await import("./program/tune.js")).tune(...given),
  generate: async (...given) => (await import("./generate/generate.js")).generate(...given),
  sample: async (...given) => (await import("./generate/sample.js")).sample(...given),
  chat: async (...given) => (await import("./chat/talk.js")).chat(...given),
  serve: async (...given) => (await import("./serve/serve.js")).serve(...given),
  verify: async (...given) => (await import("./verify/verify.js")).verify(...given),
  doctor: async (...given) => (await import("./commands/doctor.js")).doctor(...given),
  train: async (...given) => (await import("./train/train.js")).train(...given),
  eval: async (...given) => (await import("./train/eval.js")).evaluate(...given),
  compare: async (...given) => (await import("./train/compare.js")).compare(...given),
  routes: async (...given) => (await import("./routes/routes.js")).routes(...given),
  help: (name) => help(name, program),
  explain: async (...given) => (await import("./commands/explain.js")).explain(...given),
  completion: async (shell) => (await import("./commands/completion.js")).completion(shell, program),
  doc: async (...given) => (await import("./commands/doc.js")).doc(...given),
});

async function help(name: string | undefined, program: CommandUnknownOpts): Promise<ExitCode> {
  const named = name === undefined ? program : program.commands.find((c) => c.name() === name);
  if (!named) {
    const { didYouMean } = await import("./tree/usage.js");
    const names = program.commands.map((c) => c.name());
    const hint = didYouMean(name!, names) ?? "list them with `modc help`";
    throw new UsageError("unknown-command", `there is no command ${JSON.stringify(name)}`, hint);
  }
  named.outputHelp();
  return EXIT.fine;
}

const EXIT_CODES = `Exit codes: 0 fine, 1 error in source, input or weights, 2 usage, 3 no GPU or
GPU lost, 4 check failed, 70 bug in modc, 130 interrupted. With --json an error
is an object with exit, code, message, hint and spans, alone on a line. Ctrl-C
and SIGTERM end a command that has nothing to save with the signal itself; shells
report 130 and 143.`;

/** The width of the terminal; 80 where there is none. */
const widthOf = ({ isTTY, columns }: Output): number => (isTTY && columns ? columns : 80);

/**
 * The command line, ready to parse. `finish` is called with the exit code of a command. Parsing throws CommanderError
 * for an invalid call, without printing it.
 */
export function commandLine(finish: (code: ExitCode) => void): CommandUnknownOpts {
  const program = new Command("modc")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io().stdout.write(text),
      writeErr: (text) => io().stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => widthOf(io().stdout),
      getErrHelpWidth: () => widthOf(io().stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .description("Compiles Mixture-of-Depths models to GPU kernels and runs them.")
    .version(modcVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .enablePositionalOptions() // `modc build --version 1.2.0` is an option of the command
    .option("--safe", SAFE)
    .helpCommand(false)
    .addHelpText("after", `\n${EXIT_CODES}\n`);
  const acts = actsOf(program);
  for (const [group, commands] of Object.entries(COMMANDS))
    for (const [name, declared] of Object.entries<Declared>(commands))
      add(program, name, declared, acts[name as CommandName], finish).helpGroup(group); // the keys of constant tables
  return program;
}
