// Serializes programs as a package stores them: each distinct kernel text in its own file.
import type { Programs } from "../../generation/packaged/programs.js";
import type { Program } from "../../runtime/program/program.js";
import { printGeneration } from "../../runtime/program/generation.js";
import { printProgram } from "../../runtime/program/serialize.js";

export interface StoredPrograms {
  /** `program.json`. */
  readonly text: string;
  /** WGSL texts by file name. */
  readonly kernels: ReadonlyMap<string, string>;
}

export function storePrograms({ run, generation, maxBatch }: Programs): StoredPrograms {
  const files = new Map<string, string>(); // file name by text
  const counts = new Map<string, number>();
  const fileOf = (name: string, wgsl: string): string => {
    let file = files.get(wgsl);
    if (file === undefined) {
      const base = name.replace(/\.\d+$/, "").replace(/[^A-Za-z0-9_-]/g, "_");
      const n = counts.get(base) ?? 0;
      counts.set(base, n + 1);
      files.set(wgsl, (file = `kernels/${base}.${n}.wgsl`));
    }
    return file;
  };
  const stored = (program: Program): Program => ({
    ...program,
    kernels: program.kernels.map((k) => ({ ...k, wgsl: fileOf(k.name, k.wgsl) })),
  });
  const parts = generation && { prompt: stored(generation.prompt), step: stored(generation.step) };
  const texts = [
    `"run": ${printProgram(stored(run))}`,
    `"generation": ${generation && parts ? printGeneration({ ...generation, ...parts }) : "null\n"}`,
    // Packages generate without drafts and without a step for one sequence: these programs would double their size.
    ...(generation?.pages && maxBatch !== undefined
      ? [`"pages": ${JSON.stringify({ ...generation.pages, draft: null, first: null })},\n"maxBatch": ${maxBatch}\n`]
      : []),
  ];
  return { text: `{\n${texts.join(",\n")}}\n`, kernels: new Map([...files].map(([wgsl, file]) => [file, wgsl])) };
}
