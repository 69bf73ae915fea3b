// Reads the programs of a built package from `program.json`, which has the names of kernel files in place of their
// text.
import type { Generation } from "../../runtime/program/generation.js";
import { PROGRAM_VERSION, type Program } from "../../runtime/program/program.js";
import { PackageError } from "./errors.js";
import { PROGRAMS } from "./manifest.js";

export interface Programs {
  readonly run: Program;
  /** Null where the model does not generate; with `pages` for an engine. */
  readonly generation: Generation | null;
  /** The most texts that an engine generates at once; absent: callers take turns. */
  readonly maxBatch?: number;
}

/**
 * The programs with the texts of their kernels filled in. The text matches the manifest's hash, so it is not checked
 * further, beside the version of each program. Throws PackageError for other texts.
 */
export async function readPrograms(text: string, kernel: (file: string) => Promise<string>): Promise<Programs> {
  const bad = (what: string): PackageError =>
    new PackageError("bad-package", PROGRAMS, `${PROGRAMS} holds no programs: ${what}`);
  let root: Partial<Programs & Pick<Generation, "pages">> | null;
  try {
    root = JSON.parse(text) as typeof root; // as `storePrograms` writes it
  } catch {
    throw bad("it is not JSON");
  }
  const filled = async (program: Program | undefined): Promise<Program> => {
    if (program?.version !== PROGRAM_VERSION) throw bad(`one is not of version ${PROGRAM_VERSION}`);
    return {
      ...program,
      kernels: await Promise.all(program.kernels.map(async (k) => ({ ...k, wgsl: await kernel(k.wgsl) }))),
    };
  };
  const generation = root?.generation;
  const [run, prompt, step, given] = await Promise.all([
    filled(root?.run),
    generation ? filled(generation.prompt) : null,
    generation ? filled(generation.step) : null,
    generation?.given ? filled(generation.given) : null,
  ]);
  const { pages, maxBatch } = root ?? {};
  return {
    run,
    generation:
      generation && prompt && step
        ? { ...generation, prompt, step, ...(given && { given }), ...(pages && { pages }) }
        : null,
    ...(maxBatch && { maxBatch }),
  };
}
