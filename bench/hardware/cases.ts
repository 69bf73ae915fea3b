// The models, sizes and precisions that are compiled for cards.
import { compile } from "../../src/compiler/compile.js";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { Program } from "../../src/runtime/program/program.js";
import type { Precision, Target } from "../../src/runtime/program/target.js";
import { textOf } from "../cases.js";

export interface HardwareCase {
  readonly name: string;
  /** Of bench/models. */
  readonly model: string;
  readonly set: Readonly<Record<string, number | boolean>>;
  readonly precision: Precision;
  /** The number of tokens; 1 for a step of generation. */
  readonly length: number;
  /** A program of generation, or a step of training; null: the model's own. */
  readonly program: "step" | "prompt" | "train-step" | null;
}

type Varied = Partial<Omit<HardwareCase, "name" | "model" | "length">>;
const of = (name: string, model: string, length: number, varied: Varied = {}): HardwareCase => ({
  name,
  model,
  length,
  set: {},
  precision: {},
  program: null,
  ...varied,
});

const product = (name: string, length: number, precision: Precision = {}, size = 1024): HardwareCase =>
  of(name, "product", length, { set: { size }, precision });

const SMALL = { dim: 512, heads: 8, depth: 4, context: 512, routed: true };
/** A layer as models of one to two thousand million weights have it, which fills a card. */
const LARGE = { dim: 2048, heads: 16, hidden: 8192 };
const LARGE_DECODER = { dim: 2048, heads: 16, depth: 2, context: 2048, routed: true, vocab: 32_000 };
const step = (name: string, set: HardwareCase["set"], precision: Precision = {}): HardwareCase =>
  of(name, "decoder", 1, { program: "step", set, precision });

/** Two layers; one is routed. */
const TRAINED = { program: "train-step", set: { ...SMALL, depth: 2, context: 2048, vocab: 4096 } } as const;

const PLAIN: readonly HardwareCase[] = [
  of("dense-512", "dense", 512),
  of("dense-2048", "dense", 2048),
  of("mod-2048", "mod", 2048),
  product("product-1024", 1024),
  of("attention-512", "attention", 512),
  of("attention-2048", "attention", 2048),
  of("mixture-512", "mixture", 512, { set: { hidden: 1024, experts: 8, k: 2 } }),
  of("large-dense-2048", "dense", 2048, { set: LARGE }),
  of("large-mod-2048", "mod", 2048, { set: LARGE }),
];

/** `+f16`: products may round their operands, as matrix units take them. `+half`: activations in f16 too. */
export const HARDWARE_CASES: readonly HardwareCase[] = [
  ...PLAIN,
  ...PLAIN.map((c) => ({ ...c, name: `${c.name}+f16`, precision: { ...c.precision, products: "f16" as const } })),
  of("dense-2048+half", "dense", 2048, { precision: { activations: "f16" } }),
  product("product-1x1024", 1),
  product("product-1x1024-f16", 1, { weights: "f16" }),
  product("product-1x1024-q8", 1, { weights: "q8" }),
  product("product-1x1024-q4", 1, { weights: "q4" }),
  ...([{}, { weights: "f16" }, { weights: "q8" }, { weights: "q4" }] as const).map((precision) =>
    product(`product-1x4096${"weights" in precision ? `-${precision.weights}` : ""}`, 1, precision, 4096),
  ),
  of("query-2048", "query", 1),
  of("query-32768", "query", 1, { set: { keys: 32_768 } }),
  of("routing-2048", "routing", 2048),
  step("step-f32", SMALL),
  step("step-q8", SMALL, { weights: "q8" }),
  step("step-q4", SMALL, { weights: "q4" }),
  of("prompt-512", "decoder", 512, { program: "prompt", set: SMALL }),
  of("train-2048", "decoder", 2048, TRAINED),
  of("train-2048+f16", "decoder", 2048, { ...TRAINED, precision: { products: "f16" } }),
  step("large-step-q8", LARGE_DECODER, { weights: "q8" }),
  step("large-step-q4", LARGE_DECODER, { weights: "q4" }),
];

/** Cases that tell most. */
export const KEY_CASES: readonly string[] = [
  "dense-2048+f16",
  "mod-2048+f16",
  "attention-2048+f16",
  "product-1024",
  "product-1x1024-q8",
  "step-q8",
];

export function compileCase({ model, set, precision, program }: HardwareCase, target: Target): Program {
  const file = `bench/models/${model}.mod`;
  const options = { file, target, set, precision };
  if (program === null || program === "train-step") {
    const compiled = compile(textOf(file), { ...options, ...(program && { program }) });
    if (compiled.program) return compiled.program;
    throw new Error(formatDiagnostics(compiled.diagnostics, { sources: compiled.sources }));
  }
  const { generation, diagnostics, sources } = compileGeneration(textOf(file), options);
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return generation[program];
}

/** The extents of a program's axes: the caches are as long as the context. */
export function extentsOf(program: Program, { length, set }: HardwareCase): ReadonlyMap<string, number> {
  const found = program.axes.flatMap((axis): readonly (readonly [string, number])[] => {
    if (axis.role === "batch" || axis.name === "generate.sequence") return [[axis.name, 1]];
    if (axis.name === "T") return [[axis.name, length]];
    if (axis.name === "S") return [[axis.name, Number(set["keys"] ?? 2048)]];
    return axis.name.endsWith(".capacity") ? [[axis.name, Number(set["context"] ?? 512)]] : [];
  });
  return new Map(found);
}
