// Exported graphs as files for tests, and the inputs that a runtime takes.
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { check } from "../../../src/language/check/check.js";
import type { Entry, Model, Phase } from "../../../src/language/check/model/model.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { onnxFile } from "../../../src/tools/export/onnx/file.js";
import type { StoredWeight } from "../../../src/tools/export/onnx/graph.js";
import { onnxGraph, type OnnxGraph, type OnnxOptions } from "../../../src/tools/export/onnx/onnx.js";
import { fileDtype, toBytes } from "../../../src/runtime/weights/to-bytes.js";
import type { Case, Weights } from "../../end-to-end/model.js";

export interface Exporting extends OnnxOptions {
  readonly phase?: Phase;
  readonly entry?: Entry;
  readonly set?: Readonly<Record<string, string>>;
  /** Weights lie in a file beside the graph. */
  readonly external?: boolean;
}

/** The model of a source; fails where it has errors. */
export function modelOf(text: string, { phase = "infer", entry = "forward", set = {} }: Exporting = {}): Model {
  const { model, diagnostics, sources } = check({ file: "model.mod", text }, { phase, entry, set, read: () => null });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return model;
}

/** Writes the graph of a model with these weights. */
export function written(path: string, model: Model, weights: Weights, options: Exporting = {}): OnnxGraph {
  const made = onnxGraph(model, options);
  const data = `${path}.data`;
  const { pieces, beside } = onnxFile(made.graph, {
    producer: "modc",
    version: "0",
    name: model.name,
    doc: null,
    metadata: [],
    beside: { name: basename(data), always: options.external ?? false },
  });
  const bytesOf = ({ weight, stored }: StoredWeight): Uint8Array =>
    toBytes(
      weights.get(weight.path)!.data,
      stored === "bf16" || stored === "f16" ? stored.toUpperCase() : fileDtype(weight.dtype),
    );
  writeFileSync(path, Buffer.concat(pieces.map((piece) => (piece instanceof Uint8Array ? piece : bytesOf(piece.of)))));
  if (beside) {
    const all = Buffer.alloc(beside.bytes);
    for (const weight of beside.weights) all.set(bytesOf(weight), weight.offset);
    writeFileSync(data, all);
  }
  return made;
}

interface Given {
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
}

/** Inputs as the runtimes' scripts take them. */
export const givenTo = (inputs: Case["inputs"], lengths?: readonly number[]): Readonly<Record<string, Given>> => ({
  ...Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => [
      name,
      { shape, data: Array.from(data, (x) => (Number.isFinite(x) ? x : String(x))) },
    ]),
  ),
  ...(lengths ? { lengths: { shape: [lengths.length], data: lengths } } : {}),
});
