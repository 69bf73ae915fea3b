// The implementation of each command, imported only when the command is called.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { EXIT, type ExitCode } from "./terminal/exit.js";
import { aboutCommands } from "./tree/about.js";
import type { Given } from "./tree/declare.js";
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

export type CommandName = keyof All;

type Acts = { readonly [N in CommandName]: (...given: Given<All[N]>) => Promise<ExitCode> | ExitCode };

export const actsOf = (program: CommandUnknownOpts): Acts => ({
  check: async (...given) => (await import("./commands/check.js")).check(...given),
  fmt: async (...given) => (await import("./commands/fmt.js")).fmt(...given),
  lsp: async () => (await import("./lsp/lsp.js")).lsp(),
  ir: async (...given) => (await import("./program/ir.js")).ir(...given),
  wgsl: async (...given) => (await import("./program/wgsl.js")).wgsl(...given),
  compile: async (...given) => (await import("./program/compile.js")).compile(...given),
  plan: async (...given) => (await import("./program/plan.js")).plan(...given),
  cost: async (...given) => (await import("./program/cost.js")).cost(...given),
  budget: async (...given) => (await import("./program/budget.js")).budget(...given),
  new: async (...given) => (await import("./new/new.js")).newProject(...given),
  init: async (...given) => (await import("./build/init.js")).init(...given),
  import: async (...given) => (await import("./build/import.js")).importFolder(...given),
  merge: async (...given) => (await import("./build/merge.js")).merge(...given),
  quantize: async (...given) => (await import("./build/quantize.js")).quantize(...given),
  convert: async (...given) => (await import("./build/convert.js")).convert(...given),
  build: async (...given) => (await import("./build/build.js")).build(...given),
  export: async (...given) => (await import("./build/export.js")).exportModel(...given),
  run: async (...given) => (await import("./run/run.js")).run(...given),
  profile: async (...given) => (await import("./program/profile.js")).profile(...given),
  bench: async (...given) => (await import("./bench/bench.js")).bench(...given),
  tune: async (...given) => (await import("./program/tune.js")).tune(...given),
  generate: async (...given) => (await import("./generate/generate.js")).generate(...given),
  chat: async (...given) => (await import("./chat/chat.js")).chat(...given),
  serve: async (...given) => (await import("./serve/serve.js")).serve(...given),
  verify: async (...given) => (await import("./verify/verify.js")).verify(...given),
  doctor: async (...given) => (await import("./commands/doctor.js")).doctor(...given),
  train: async (...given) => (await import("./train/train.js")).train(...given),
  eval: async (...given) => (await import("./train/eval.js")).evaluate(...given),
  routes: async (...given) => (await import("./routes/routes.js")).routes(...given),
  help: (name) => help(name, program),
  explain: async (...given) => (await import("./commands/explain.js")).explain(...given),
  completion: async (shell) => (await import("./commands/completion.js")).completion(shell, program),
  doc: async (...given) => (await import("./commands/doc.js")).doc(...given),
});

async function help(name: string | undefined, program: CommandUnknownOpts): Promise<ExitCode> {
  const named = name === undefined ? program : program.commands.find((c) => c.name() === name);
  if (!named) {
    const { didYouMean } = await import("./tree/did-you-mean.js");
    const names = program.commands.map((c) => c.name());
    const hint = didYouMean(name!, names) ?? "list them with `modc help`";
    throw new UsageError("unknown-command", `there is no command ${JSON.stringify(name)}`, hint);
  }
  named.outputHelp();
  return EXIT.fine;
}
