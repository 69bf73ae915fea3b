// The programs of a built package as they lie in `program.json`: with the names of kernel files in place of their text.
import type { Program } from "../program/program.js";
import { parseProgram } from "../program/serialize.js";
import { PackageError } from "./errors.js";
import { PROGRAMS } from "./manifest.js";

/** Programs by what they are for. */
export type Programs = ReadonlyMap<string, Program>;

/** The programs with the texts of their kernels filled in. Throws PackageError and ProgramError for what no build would have written. */
export async function readPrograms(text: string, kernel: (file: string) => Promise<string>): Promise<Programs> {
  const bad = (what: string): PackageError => new PackageError("bad-package", PROGRAMS, `${PROGRAMS} holds no programs: ${what}`);
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  if (!isRecord(root)) throw bad("it is no object");
  const read = async (value: unknown): Promise<Program> => {
    if (!isRecord(value) || !Array.isArray(value["kernels"])) throw bad("one has no kernels");
    const kernels = await Promise.all(
      value["kernels"].map(async (k: unknown) => {
        if (!isRecord(k) || typeof k["wgsl"] !== "string") throw bad("a kernel names no file");
        return { ...k, wgsl: await kernel(k["wgsl"]) };
      }),
    );
    return parseProgram(JSON.stringify({ ...value, kernels }));
  };
  return new Map(await Promise.all(Object.entries(root).map(async ([name, value]) => [name, await read(value)] as const)));
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);
