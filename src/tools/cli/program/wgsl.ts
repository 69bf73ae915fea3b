// `modc wgsl`: lists the kernels of a model, or prints the shader of one.
import type { OpenedModel } from "../../../models/open.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { compileFile } from "../source/frontend.js";
import { table } from "../terminal/table.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

export async function wgsl(
  opened: OpenedModel,
  name: string | undefined,
  flags: Flags<typeof sourceCommands.wgsl>,
): Promise<ExitCode> {
  const { program } = await compileFile(opened, flags);
  const uses = program.kernels.map(
    (_, k) => program.steps.filter((step) => step.kind === "dispatch" && step.kernel === k).length,
  );
  const chosen = name === undefined ? program.kernels : named(program.kernels, name);
  if (chosen.length === 0)
    throw new UserError(
      `the program has no kernel ${JSON.stringify(name)}`,
      `it has ${program.kernels.map((kernel) => kernel.name).join(", ")}`,
    );
  return printReport(flags, {
    json: chosen.map((kernel) => ({ ...kernel, dispatches: uses[program.kernels.indexOf(kernel)] })),
    text:
      name !== undefined || flags.all
        ? chosen.map((kernel) => kernel.wgsl.trimEnd()).join("\n\n")
        : table(chosen, [
            ["kernel", (kernel) => kernel.name],
            ["dispatches", (_, k) => uses[k]!],
            ["bindings", (kernel) => kernel.access.length],
            ["lines", (kernel) => kernel.wgsl.split("\n").length],
          ]),
  });
}

/** The kernel of that name; where there is none, those that differ from it by their number alone. */
function named<K extends { readonly name: string }>(kernels: readonly K[], name: string): readonly K[] {
  const own = kernels.filter((kernel) => kernel.name === name);
  return own.length > 0 ? own : kernels.filter((kernel) => kernel.name.replace(/\.\d+$/, "") === name);
}
