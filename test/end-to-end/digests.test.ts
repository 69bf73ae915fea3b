// The programs of all examples and of the bench's models, in every phase and for every class of device, are what they
// were: `digests.txt` holds a hash of each. A change that is meant to change programs says so in its commit, with the
// file that `SOAK=1 npx vitest run test/end-to-end/digests.test.ts -u` writes.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  trainStep,
  accumulateStep,
  weightsAsStates,
  type StepOptions,
} from "../../src/compiler/autodiff/train-step.js";
import { withGradients } from "../../src/compiler/autodiff/gradients.js";
import { check } from "../../src/language/check/check.js";
import type { Model, Phase } from "../../src/language/check/model/model.js";
import { programFor } from "../../src/compiler/compile.js";
import type { SourceFile } from "../../src/language/diagnostics/span.js";
import type { Graph } from "../../src/compiler/ir/graph.js";
import { generationGraphs } from "../../src/compiler/lower/generation.js";
import { GenerationError } from "../../src/compiler/lower/generation-error.js";
import { lower } from "../../src/compiler/lower/lower.js";
import { optimize } from "../../src/compiler/passes/index.js";
import { printProgram } from "../../src/runtime/program/serialize.js";
import { DEFAULT_LIMITS, PORTABLE, type Precision, type Target } from "../../src/runtime/program/target.js";
import { byTurns, soaking } from "../soak.js";

const root = join(import.meta.dirname, "../..");

type Models = readonly (readonly [file: string, ...variants: Readonly<Record<string, string>>[]])[];

/** Source, and the parameters that make its variants; the deep ones are cut to layers that are unlike one another. */
const MODELS: Models = [
  ["examples/golden.mod", {}],
  ["examples/llama.mod", { depth: "3" }],
  ["examples/moby.mod", {}],
  ["examples/mor.mod", {}],
  ["examples/p-mod.mod", {}],
  ["examples/smollm-mod.mod", { depth: "4" }],
  ["bench/models/attention.mod", {}],
  ["bench/models/decoder.mod", {}, { routed: "true" }],
  ["bench/models/dense.mod", {}],
  ["bench/models/isoflop.mod", {}],
  ["bench/models/layer.mod", {}, { routed: "true" }],
  ["bench/models/moby.mod", {}],
  ["bench/models/mod.mod", {}],
  ["bench/models/product.mod", {}],
  ["bench/models/query.mod", {}],
  ["bench/models/routing.mod", {}],
  ["examples/mode.mod", { depth: "1", staged: "false" }],
];

/** Likewise, for the soak alone. */
const MORE: Models = [
  ["examples/mode.mod", { depth: "2" }],
  ["examples/lora.mod", { depth: "2" }],
  ["examples/moe.mod", { depth: "1" }],
  ["examples/variants/a-mod.mod", { depth: "2" }],
  ["examples/variants/colt5.mod", { depth: "1" }],
  ["examples/variants/d-llm.mod", { depth: "2" }],
  ["examples/variants/early-exit.mod", { depth: "2" }],
  ["examples/variants/flexi-depth.mod", { depth: "2" }],
  ["examples/variants/gate-skip.mod", { depth: "1" }],
  ["examples/variants/layer-skip.mod", { depth: "2" }],
  ["examples/variants/modification.mod", { depth: "2" }],
  ["examples/variants/mor-token-choice.mod", { layers: "1" }],
  ["examples/variants/p-mod-multimodal.mod", { depth: "2" }],
  ["examples/variants/router-tuning.mod", { depth: "1" }],
  ["examples/variants/skip-gpt.mod", { depth: "1" }],
  ["examples/variants/threshold.mod", { depth: "2" }],
  ["examples/variants/chunks.mod", { depth: "1" }],
  ["examples/variants/depth-keys.mod", { depth: "2" }],
  ["examples/variants/gap.mod", { depth: "2" }],
  ["examples/variants/hold.mod", { depth: "2" }],
  ["examples/variants/hybrid.mod", { depth: "2" }, { depth: "2", mixer: '"mamba2"' }],
  ["examples/variants/memories.mod", { depth: "2", count: "3" }],
  ["examples/variants/packed.mod", { depth: "2" }, { depth: "2", kind: '"t5"' }],
  ["examples/variants/whole-text.mod", { depth: "3" }],
  ["examples/inputs/denoise.mod", { depth: "3" }],
  ["examples/inputs/pictures.mod", { depth: "2" }],
  ["examples/inputs/translate.mod", { depth: "2" }],
  ["examples/objectives/classify.mod", { depth: "2" }],
  ["examples/objectives/distill.mod", { depth: "2" }],
  ["examples/objectives/dpo.mod", { depth: "2" }],
  ["examples/objectives/embed.mod", { depth: "2" }],
  ["examples/objectives/grpo.mod", { depth: "2" }],
  ["examples/objectives/masked.mod", { depth: "2" }],
  ["examples/objectives/reward.mod", { depth: "2" }],
  ["bench/models/gated.mod", {}],
  ["bench/models/idle.mod", {}],
  ["bench/models/isoflop-experts.mod", {}],
  ["bench/models/mixture.mod", {}],
  ["bench/models/staged.mod", {}],
];

const wide = { ...DEFAULT_LIMITS, storageBuffersPerStage: 16, storageBindingBytes: 2 ** 31 - 4, bufferBytes: 2 ** 32 };
const DEVICES: readonly (readonly [string, Target, Precision])[] = [
  ["portable", PORTABLE, {}],
  ["portable f16", { ...PORTABLE, f16: true }, { activations: "f16" }],
  [
    "mesa-software",
    { device: "mesa-software", subgroups: [8, 8], f16: true, textures: true, limits: DEFAULT_LIMITS },
    {},
  ],
  [
    "swiftshader",
    { device: "swiftshader", subgroups: [4, 4], f16: false, limits: DEFAULT_LIMITS },
    { weights: "bf16" },
  ],
  ["integrated", { device: "integrated", subgroups: [16, 32], f16: true, limits: wide }, { weights: "f16" }],
  ["discrete", { device: "discrete", subgroups: [32, 32], f16: true, limits: wide }, {}],
];

interface Front {
  readonly model: Model;
  readonly sources: readonly SourceFile[];
}

function front(file: string, set: Readonly<Record<string, string>>, phase: Phase, entry?: "forward"): Front | null {
  const read = (path: string): string | null => {
    const full = join(root, path);
    return existsSync(full) ? readFileSync(full, "utf8") : null;
  };
  const { model, sources } = check(
    { file, text: readFileSync(join(root, file), "utf8") },
    { phase, set, read, ...(entry && { entry }) },
  );
  return model && { model, sources };
}

/** The graphs of all programs that a model has, by name. */
function graphsOf(file: string, set: Readonly<Record<string, string>>): [name: string, Graph, Front][] {
  const graphs: [string, Graph, Front][] = [];
  const add = (name: string, graph: Graph, of: Front): void => void graphs.push([name, optimize(graph), of]);
  const infer = front(file, set, "infer");
  const inferred = infer && lower(infer.model);
  if (infer) add("infer", inferred!, infer);
  const causal = front(file, set, "generate", "forward");
  if (causal) {
    try {
      const { prompt, step } = generationGraphs(lower(causal.model), {});
      add("prompt", prompt, causal);
      add("step", step, causal);
    } catch (error) {
      if (!(error instanceof GenerationError)) throw error; // it checks, and is no decoder
    }
  }
  const training = front(file, set, "train");
  if (training?.model.entry === "objective") {
    const objective = lower(training.model);
    const { weights } = training.model;
    const options: StepOptions = {
      optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
      clip: 1,
      accumulated: false,
    };
    add("gradients", withGradients(objective, weights), training);
    add("train step", trainStep(objective, weights, { ...options, inFlight: true }).graph, training);
    add("micro-batch", accumulateStep(objective, weights, options), training);
    if (infer) add("evaluation", weightsAsStates(inferred!), infer);
  }
  return graphs;
}

/**
 * Devices of a program: all in a soak; in the short run one each, in turn, so that most devices have some program of a
 * model.
 */
function devicesOf(file: string, name: string): typeof DEVICES {
  const first = ["gradients", "train step", "micro-batch"].indexOf(name);
  const turn = first >= 0 ? first : file.length + ["infer", "prompt", "step", "evaluation"].indexOf(name);
  return byTurns(DEVICES, DEVICES.length, turn);
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

it("all examples and all models of the bench are among them", () => {
  const files = ["examples", "examples/inputs", "examples/objectives", "examples/variants", "bench/models"].flatMap(
    (folder) => readdirSync(join(root, folder)).flatMap((name) => (name.endsWith(".mod") ? [`${folder}/${name}`] : [])),
  );
  expect([...new Set([...MODELS, ...MORE].map(([file]) => file))].sort()).toEqual(files.sort());
});

it("programs are, bit for bit, what they were", { timeout: 400_000 }, async () => {
  const lines: string[] = [];
  for (const [file, ...variants] of soaking ? [...MODELS, ...MORE] : MODELS)
    for (const set of variants)
      for (const [name, graph, of] of graphsOf(file, set))
        for (const [device, target, precision] of devicesOf(file, name)) {
          const text = printProgram(programFor({ graph, ...of }, target, undefined, precision));
          lines.push(
            `${digest(text)}  ` +
              `${[file, ...Object.entries(set).map(([key, value]) => `${key}=${value}`)].join(" ")}: ${name}, ` +
              device,
          );
        }
  expect(lines.length).toBeGreaterThan(soaking ? 900 : 55);
  if (soaking) return expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("digests.txt");
  const programOf = (line: string): string => line.slice(line.indexOf("  "));
  const tried = new Set(lines.map(programOf));
  const kept = readFileSync(join(import.meta.dirname, "digests.txt"), "utf8")
    .trimEnd()
    .split("\n");
  expect(lines).toEqual(kept.filter((line) => tried.has(programOf(line))));
});
