// The decoder that is served, dense and routed: four layers of 512, with seeded weights.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../src/compile.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import { writeSafetensors } from "../../src/runtime/index.js";
import { at, textOf } from "../cases.js";
import { drawn, predicting } from "../generating/cases.js";

export type Kind = "dense" | "routed";

/** Parameters of `decoder.mod`. */
export const PARAMETERS = { dim: 512, heads: 8, depth: 4, context: 1024 } as const;

/** Text is ASCII, so that each token is a character, which the wire sends at once. */
const ASCII = 128;

/** Writes the weights of a kind to a folder; returns what `modc serve` is called with. */
export function served(kind: Kind, folder: string): readonly string[] {
  const set = { ...PARAMETERS, routed: kind === "routed" };
  const texts = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, String(value)]));
  const { graph, program, diagnostics, sources } = compile(textOf("bench/models/decoder.mod"), {
    file: "decoder.mod",
    phase: "generate",
    set: texts,
  });
  if (!graph || !program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const ascii = drawn(program.weights).map(([path, { shape, data }]) => {
    const values = data.slice();
    // The first column of the tied table weighs for ASCII, and against the rest.
    if (path === "embed.table")
      for (let token = 0; token < shape[0]!; token++) values[token * shape[1]!] = token < ASCII ? 4 : -4;
    return [path, { shape, data: values }] as const;
  });
  const weights = kind === "routed" ? predicting(graph, ascii, ASCII) : ascii;
  const file = join(folder, `${kind}.safetensors`);
  const tensors = weights.map(([key, { shape, data }]) => ({
    key,
    dtype: "F32",
    shape,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }));
  writeFileSync(file, writeSafetensors(tensors));
  const parameters = Object.entries(texts).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  return [at("bench/models/decoder.mod").pathname, "--weights", file, ...parameters];
}
