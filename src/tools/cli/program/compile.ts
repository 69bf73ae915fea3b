// `modc compile` and `modc wgsl`: the program as JSON, for the runtime to load without the compiler; or its kernels.
import type { Program } from "../../../runtime/program/program.js";
import { namedFrom } from "../../../runtime/program/origins.js";
import { printProgram } from "../../../runtime/program/serialize.js";
import { openDevice } from "../../../runtime/index.js";
import { wantedDevice } from "../source/device.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { EXIT, type ExitCode, UserError } from "../terminal/exit.js";
import { isPrinted, writeText } from "../source/files.js";
import { compileFile, type Finished } from "../source/frontend.js";
import { outRaw, printReport } from "../terminal/terminal.js";
import { plural, table } from "../terminal/units.js";
import { readTunings, tuningsOn } from "../source/tunings.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

type CompileFlags = Flags<typeof sourceCommands.compile>;

/** Without `-o` the program is written to standard output. */
export async function compile(opened: OpenedModel, flags: CompileFlags): Promise<ExitCode> {
  const program = namedFrom(await chosen(await compileFile(opened, flags), flags), opened.file);
  const text = printProgram(program);
  if (isPrinted(flags.output)) {
    outRaw(text);
    return EXIT.fine;
  }
  writeText(flags.output, text);
  const { model, phase, entry, target, tunings, kernels, steps, weights } = program;
  const bytes = Buffer.byteLength(text);
  return printReport(flags, {
    json: {
      output: flags.output,
      bytes,
      model,
      phase,
      entry,
      target: target.device,
      tunings,
      kernels: kernels.length,
      steps: steps.length,
      weights: weights.length,
    },
    text:
      `${flags.output}: ${model}, ${phase} ${entry}: ${plural(kernels.length, "kernel")}, ` +
      `${plural(steps.length, "step")}, ${plural(weights.length, "weight")}, ${formatBytes(bytes)}`,
  });
}

/**
 * The program for any device; for the named device with its tunings; or, with only tunings, for the target they were
 * measured on.
 */
async function chosen({ program, forTarget }: Finished, flags: CompileFlags): Promise<Program> {
  if (flags.device === undefined) {
    if (flags.tunings === undefined || flags.tunings === "none") return program;
    const { target, tunings } = readTunings(flags.tunings);
    return forTarget(target, tunings);
  }
  const device = await openDevice(wantedDevice(flags.device === "best" ? {} : { device: flags.device }));
  try {
    return forTarget(device.target, tuningsOn(device, flags) ?? undefined);
  } finally {
    device.destroy();
  }
}

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

/** The kernel of that name; if there is none, the kernels whose names add only a number. */
function named<K extends { readonly name: string }>(kernels: readonly K[], name: string): readonly K[] {
  const exact = kernels.filter((kernel) => kernel.name === name);
  return exact.length > 0 ? exact : kernels.filter((kernel) => kernel.name.replace(/\.\d+$/, "") === name);
}
