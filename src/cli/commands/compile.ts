// `modc compile`: the program as JSON, for the runtime to load without the compiler.
import { printProgram } from "../../program/serialize.js";
import { formatBytes } from "../../runtime/errors.js";
import { EXIT, type ExitCode } from "../exit.js";
import { writeText } from "../files.js";
import { compileFile, type ModelFlags } from "../frontend.js";
import { out, outJson } from "../terminal.js";

export interface CompileFlags extends ModelFlags {
  readonly output?: string;
  readonly json?: boolean;
}

/** Without `-o` the program itself goes to standard output. */
export async function compile(file: string, flags: CompileFlags): Promise<ExitCode> {
  const { program } = await compileFile(file, flags);
  const text = printProgram(program);
  if (flags.output === undefined) {
    process.stdout.write(text);
    return EXIT.fine;
  }
  writeText(flags.output, text);
  const { model, phase, entry, kernels, steps, weights } = program;
  if (flags.json)
    outJson({
      output: flags.output,
      bytes: Buffer.byteLength(text),
      model,
      phase,
      entry,
      kernels: kernels.length,
      steps: steps.length,
      weights: weights.length,
    });
  else
    out(
      `${flags.output}: ${model}, ${phase} ${entry}: ${kernels.length} kernels, ${steps.length} steps, ${weights.length} weights, ${formatBytes(Buffer.byteLength(text))}`,
    );
  return EXIT.fine;
}
