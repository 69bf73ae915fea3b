// Reads the programs of a built package from `program.json`, which has the names of kernel files in place of their
// text.
import type { Generation } from "../program/generation.js";
import type { Program } from "../program/program.js";
import { PackageError } from "./errors.js";
import { PROGRAMS } from "./manifest.js";

export interface Programs {
  readonly run: Program;
  /** Null where the model does not generate. */
  readonly generation: Generation | null;
}

/**
 * The programs with the texts of their kernels filled in. The text matches the manifest's hash, so it is not checked
 * further; a session refuses unknown versions. Throws PackageError for other texts.
 */
export async function readPrograms(text: string, kernel: (file: string) => Promise<string>): Promise<Programs> {
  const bad = (what: string): PackageError =>
    new PackageError("bad-package", PROGRAMS, `${PROGRAMS} holds no programs: ${what}`);
  let root: { readonly run?: Program; readonly generation?: Generation | null } | null;
  try {
    root = JSON.parse(text) as typeof root; // as `storePrograms` writes it
  } catch {
    throw bad("it is not JSON");
  }
  const filled = async (program: Program | undefined): Promise<Program> => {
    if (!Array.isArray(program?.kernels)) throw bad("one has no kernels");
    return {
      ...program,
      kernels: await Promise.all(program.kernels.map(async (k) => ({ ...k, wgsl: await kernel(k.wgsl) }))),
    };
  };
  const generation = root?.generation;
  const [run, prompt, step] = await Promise.all([
    filled(root?.run),
    generation ? filled(generation.prompt) : null,
    generation ? filled(generation.step) : null,
  ]);
  return { run, generation: generation && prompt && step ? { ...generation, prompt, step } : null };
}
