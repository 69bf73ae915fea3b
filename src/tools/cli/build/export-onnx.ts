// `modc export --to onnx`: a model with its weights in one file, or in two files if one is too small.
import { basename } from "node:path";
import { SourceNotes } from "../../export/source-notes.js";
import { onnxFile, type OnnxFile } from "../../export/onnx/file.js";
import type { Port, StoredWeight } from "../../export/onnx/graph.js";
import { onnxGraph, type OnnxGraph } from "../../export/onnx/onnx.js";
import type { ModelWeights, OpenedModel } from "../../../models/opened/model.js";
import { asProgramWeight } from "../../../runtime/program/program.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { readWeight, type Words } from "../../../runtime/index.js";
import { expectHeld } from "../../../runtime/weights/held.js";
import { readingInTurns } from "../../../runtime/weights/in-turns.js";
import { fileDtype, toBytes } from "../../../runtime/weights/to-bytes.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import { ensureWritable, writeParts } from "../source/files.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { turn } from "../terminal/ending.js";
import { UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import { modcVersion } from "../tree/version.js";
import type { weightCommands } from "../tree/weights.js";

type ExportFlags = Flags<typeof weightCommands.export>;

export async function exportOnnx(opened: OpenedModel, flags: ExportFlags): Promise<ExitCode> {
  expectConsistent(flags);
  ensureWritable(flags.output);
  const { exported, doc } = await exportedGraph(opened, flags);
  if (opened.weights === null && exported.model.weights.length > 0)
    throw new UserError(
      "an ONNX file contains the model's weights, which are missing",
      "give them with --weights; `modc init` writes starting weights",
    );
  const data = `${flags.output}.data`;
  const written = onnxFile(exported.graph, {
    producer: "modc",
    version: modcVersion(),
    name: exported.model.name,
    doc,
    metadata: metadataOf(exported),
    beside: { name: basename(data), always: flags.externalData ?? false },
  });
  if (written.beside) ensureWritable(data);
  await writeFiles(written, { output: flags.output, data }, opened.weights, exported);
  return report(written, { exported, flags, data, weights: opened.weights?.place ?? null });
}

function expectConsistent({ caches, phase, enter }: ExportFlags): void {
  const clash = (a: string, b: string, why: string): never => {
    throw misuse(`${a} and ${b} exclude each other: ${why}`, "give one of them");
  };
  if (caches && phase === "infer") clash("--caches", "--phase infer", "continuing from earlier tokens is generation");
  if (caches && enter === "objective") clash("--caches", "--enter objective", "a loss needs whole sequences");
}

async function exportedGraph(
  { source, read }: OpenedModel,
  { set = {}, model: name, phase, enter, caches, observe, lengths, weightsAs }: ExportFlags,
): Promise<{ readonly exported: OnnxGraph; readonly doc: string | null }> {
  const { check } = await import("../../../language/check/check.js");
  const { model, diagnostics, sources } = check(source, {
    set,
    read,
    ...(name === undefined ? {} : { model: name }),
    phase: caches ? "generate" : (phase ?? "infer"),
    entry: enter ?? "forward",
  });
  if (!model) throw new SourceError(diagnostics, sources);
  showDiagnostics(diagnostics, sources);
  const exported = onnxGraph(model, {
    caches: caches ?? false,
    observe: observe ?? false,
    lengths: lengths ?? false,
    ...(weightsAs === undefined ? {} : { floats: weightsAs }),
  });
  return { exported, doc: new SourceNotes(sources, model.file).block(model.name)?.doc ?? null };
}

/** Metadata for programs that load the file. */
function metadataOf({ model, caches }: OnnxGraph): readonly (readonly [string, string])[] {
  const parameters = Object.fromEntries(model.parameters.map(({ name, value }) => [name, value]));
  return [
    ["modc.phase", model.phase],
    ["modc.parameters", JSON.stringify(parameters)],
    ...(caches.length === 0 ? [] : [["modc.caches", JSON.stringify(caches.map(({ name }) => name))] as const]),
  ];
}

type Values = (weight: StoredWeight) => Promise<Words>;

async function writeFiles(
  file: OnnxFile,
  places: { readonly output: string; readonly data: string },
  from: ModelWeights | null,
  { model }: OnnxGraph,
): Promise<void> {
  const weights = new Map(model.weights.map((weight) => [weight, asProgramWeight(weight)]));
  const source = from && (await from.source());
  const matched = source && source.match({ weights: [...weights.values()], ignore: model.ignore });
  // If the model has weights, `from` is not null.
  const values: Values = async ({ weight }) => {
    const declared = weights.get(weight)!;
    return readWeight(declared, matched!.get(declared)!, source!, readingInTurns(turn));
  };
  await writeParts(places.output, async (write) => {
    for (const piece of file.pieces)
      if (piece instanceof Uint8Array) await write(piece);
      else await writeWeight(write, piece.of, values);
    // The data file is written before the file of the graph, which refers to it, is renamed into its place.
    if (file.beside) await writeBeside(places.data, file.beside, values);
  });
}

type Write = (bytes: Uint8Array) => Promise<void>;

const writeBeside = (path: string, { weights }: NonNullable<OnnxFile["beside"]>, values: Values): Promise<void> =>
  writeParts(path, async (write) => {
    let end = 0;
    for (const weight of weights) {
      if (weight.offset > end) await write(new Uint8Array(weight.offset - end));
      await writeWeight(write, weight, values);
      end = weight.offset + weight.bytes;
    }
  });

/** Number of values converted in one piece, between which an interrupt is handled. */
const PIECE = 1 << 20;

async function writeWeight(write: Write, weight: StoredWeight, values: Values): Promise<void> {
  const { stored } = weight;
  const words = await values(weight);
  const type = stored === "f16" ? "F16" : stored === "bf16" ? "BF16" : fileDtype(stored);
  expectHeld(weight.weight, words, type);
  for (let first = 0; first < words.length; first += PIECE)
    await write(toBytes(words.subarray(first, first + PIECE), type));
}

interface Written {
  readonly exported: OnnxGraph;
  readonly flags: ExportFlags;
  readonly data: string;
  readonly weights: string | null;
}

function report(file: OnnxFile, { exported: { model, graph, caches }, flags, data, weights }: Written): ExitCode {
  const files = [flags.output, ...(file.beside ? [data] : [])];
  const size = file.bytes + (file.beside?.bytes ?? 0);
  const cacheText = caches.length === 0 ? "" : `, ${plural(caches.length, "cache")}`;
  const listed = (ports: readonly Port[]): string =>
    ports.flatMap(({ name }) => (/^(?:past|present)\./.test(name) ? [] : [name])).join(", ");
  return printReport(flags, {
    json: {
      output: flags.output,
      model: model.name,
      to: flags.to,
      files,
      weights,
      bytes: size,
      nodes: graph.nodes.length,
      inputs: graph.inputs.map(shown),
      outputs: graph.outputs.map(shown),
      caches: caches.map(({ name }) => name),
    },
    text:
      `${files.join(", ")}: ${model.name} in ONNX, ${plural(graph.nodes.length, "node")}${cacheText}, ` +
      `${formatBytes(size)}; takes ${listed(graph.inputs)}, gives ${listed(graph.outputs)}`,
  });
}

const shown = ({ name, element, shape }: Port): object => ({ name, type: element, shape });
