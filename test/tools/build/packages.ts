// Packages for tests: built in memory, with their files by name.
import { compile } from "../../../src/compiler/compile.js";
import { buildPackage, type PackageInput } from "../../../src/tools/build/package.js";
import { engineFiles, packersPart, runtimeFiles, tokenizerFiles, workerFiles } from "../../../src/ground/bundled.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import type { Manifest } from "../../../src/generation/packaged/manifest.js";
import { NO_DEFAULTS } from "../../../src/generation/packaged/text.js";
import type { Generation } from "../../../src/runtime/program/generation.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { initialValues } from "../../../src/runtime/index.js";
import { fileDtype, toBytes } from "../../../src/runtime/weights/to-bytes.js";
import type { WeightSource } from "../../../src/runtime/weights/formats/source.js";

export function programOf(source: string, set: Readonly<Record<string, string | number>> = {}): Program {
  const { program, diagnostics, sources } = compile(source, { set });
  if (!program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return program;
}

export function generationOf(
  source: string,
  set: Readonly<Record<string, string | number>> = {},
  caches: "rows" | "pages" = "rows",
): Generation {
  const { generation, diagnostics, sources } = compileGeneration(source, { set, caches });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return generation;
}

/** Starting values of a seed, as a checkpoint. */
export function startingWeights(program: Program, seed = 7): WeightSource {
  const values = new Map(
    program.weights.map((w) => [
      w.path,
      { dtype: fileDtype(w.dtype), shape: w.shape, data: toBytes(initialValues(w, seed), fileDtype(w.dtype)) },
    ]),
  );
  return {
    name: "starting values",
    tensors: new Map([...values].map(([key, { dtype, shape, data }]) => [key, { dtype, shape, bytes: data.length }])),
    read: async (key) => values.get(key)!.data,
    close: async () => {},
  };
}

export interface BuiltPackage {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export async function packageOf(program: Program, options: Partial<PackageInput> = {}): Promise<BuiltPackage> {
  const files = new Map<string, Uint8Array>();
  const manifest = await buildPackage(
    {
      name: "a-model",
      packageVersion: null,
      earlier: null,
      source: "a.mod",
      programs: { run: program, generation: null },
      tokenizer: null,
      defaults: NO_DEFAULTS,
      weights: startingWeights(program),
      runtime: runtimeFiles,
      tokenizerRuntime: tokenizerFiles,
      engineRuntime: engineFiles,
      workerRuntime: workerFiles,
      packersPart,
      version: "0.0.0",
      shardBytes: 4096,
      ...options,
    },
    async (name, bytes) => void files.set(name, Uint8Array.from(bytes)),
  );
  return { manifest, files };
}
