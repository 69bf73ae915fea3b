// `modc cost`: operations, bytes, parameters and cache, layer by layer, compared with the dense model; and the memory
// of a session.
import type { Mixture } from "../../../compiler/cost/experts.js";
import { MODEL_GROUP } from "../../../compiler/cost/group.js";
import { ledger, stepsWithin, type Ledger, type LedgerRow, type Work } from "../../../compiler/cost/ledger.js";
import type { Model } from "../../../language/check/model/model.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { programFor } from "../../../compiler/compile.js";
import { chosenProgram, graphsOf } from "../../../compiler/recipes.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { memoryOf, type MemoryUse } from "../../../runtime/run/memory.js";
import { printRational, type Rational } from "../../../ground/numerics/rational.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { chosenExtents } from "../source/extents.js";
import { expectLive } from "../source/trained.js";
import { checkFile, precisionOf, programName } from "../source/frontend.js";
import { memoryLines, table, type Column, grouped, withPrefix } from "../terminal/units.js";
import { cacheLines } from "./cache-lines.js";
import { columns, printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

export async function cost(opened: OpenedModel, flags: Flags<typeof sourceCommands.cost>): Promise<ExitCode> {
  const budget = flags.budget ?? null;
  const stepTokens = flags.stepTokens ?? null;
  if ((budget === null) !== (stepTokens === null))
    throw misuse("--budget and --step-tokens need each other", "--budget 16.5e18 --step-tokens 2097152");
  if (flags.loopCaches && flags.program !== "prompt" && flags.program !== "step")
    throw misuse("--loop-caches needs --program prompt or step, which have caches");
  const { model, sources } = await checkFile(opened, flags);
  if (flags.latent && flags.program !== "prompt" && flags.program !== "step")
    throw misuse("--latent needs --program prompt or step, which have caches");
  const generation = {
    ...(flags.loopCaches && { loopCaches: flags.loopCaches }),
    ...(flags.latent && { latent: flags.latent }),
  };
  const graph = graphsOf(model, { generation }).optimized(chosenProgram(flags, model));
  const extents = chosenExtents(graph.axes, flags, null);
  const live = liveValues(model, flags.live ?? {});
  const counted = ledger(graph, model, {
    extents,
    live,
    convention: flags.convention ?? "executed",
    bytesPerValue: flags.activationsAs === "f16" ? 2 : 4,
  });
  const steps = budget !== null && stepTokens !== null ? stepsWithin(budget, counted, stepTokens) : null;
  // Kernels, and so scratch memory, depend on the device: this is the plan for any device.
  const memory = memoryOf(programFor({ graph, model, sources }, undefined, undefined, precisionOf(flags)), {
    max: Object.fromEntries(extents),
    live: printedLive(live),
  });
  return printReport(flags, {
    json: {
      model: model.name,
      phase: model.phase,
      ...(flags.program && { program: flags.program }),
      ...counted,
      memory,
      ...(steps === null ? {} : { steps }),
    },
    text: printed(model, programName(flags, model), counted, { memory, steps, weightsAs: storedAs(flags) }),
  });
}

const liveValues = (model: Model, texts: Readonly<Record<string, string>>): ReadonlyMap<string, Rational> =>
  new Map(Object.entries(texts).map(([name, text]) => [name, expectLive(model.live, name, text)]));

const printedLive = (live: ReadonlyMap<string, Rational>): Readonly<Record<string, string>> =>
  Object.fromEntries([...live].map(([name, value]) => [name, printRational(value)]));

/** The storage type of weights if it differs from the type that the table assumes; else null. */
const storedAs = ({ weightsAs, activationsAs }: Flags<typeof sourceCommands.cost>): string | null =>
  weightsAs === undefined || weightsAs === "f32" || activationsAs === "f16" ? null : weightsAs;

interface MemoryAndSteps {
  readonly memory: MemoryUse;
  readonly steps: number | null;
  readonly weightsAs: string | null;
}

function printed(model: Model, name: string, found: Ledger, { memory, steps, weightsAs }: MemoryAndSteps): string {
  const at = Object.entries(found.extents)
    .map(([name, n]) => `${name}=${n}`)
    .join(" ");
  const counted = found.convention === "mor" ? ", counted as in the Mixture-of-Recursions paper" : "";
  const { total, tokens } = found;
  // A model without sequences computes a result for each row of its batch.
  const unit = model.axes.some((axis) => axis.role === "sequence" && axis.count.kind === "input") ? "token" : "sample";
  const rows = [...found.rows, { name: "total", ...total }];
  const lines = [
    `${model.name}, ${name}, ${at}${name === "step" ? ", a token that takes every layer" : ""}, ` +
      `${found.bytesPerValue} bytes a value${counted}` +
      (weightsAs === null ? "" : `; weights are ${weightsAs} in the memory of a session alone`),
    "",
    table(rows, COLUMNS),
    "",
    ...expertLines(found.mixtures),
    `${withPrefix(total.executed.flops / tokens)} operations a ${unit} (${share("products", total.executed)}, ` +
      `${share("attention", total.executed)}, ${share("other", total.executed)}); dense ` +
      withPrefix(total.dense.flops / tokens),
    ...parameterLines(found, unit),
  ];
  lines.push(...cacheLines(found.caches, columns()), ...memoryLines(memory, columns()));
  if (steps !== null) lines.push(`${grouped(Math.round(steps))} steps within the budget (${steps.toFixed(2)})`);
  return lines.join("\n");
}

/** A row for each kind of expert, grouped by mixture; empty for a model without mixtures. */
function expertLines(mixtures: readonly Mixture[]): readonly string[] {
  if (mixtures.length === 0) return [];
  const rows = mixtures.flatMap(({ paths: [first, ...alike], kinds }) =>
    kinds.map((kind, i) => ({
      ...kind,
      name: i > 0 ? "" : `${first || MODEL_GROUP}${alike.length > 0 ? ` and ${alike.length} alike` : ""}`,
    })),
  );
  const text = table(rows, [
    ["mixtures", (r) => r.name],
    ["experts", (r) => `${grouped(r.experts)} ${r.block}`],
    ["parameters each", (r) => orDash(r.parameters, grouped)],
    ["bytes each", (r) => orDash(r.bytes, formatBytes)],
    [
      "entries each",
      ({ entries }) => (entries >= 100 ? grouped(Math.round(entries)) : String(Number(entries.toPrecision(3)))),
    ],
    ["operations an entry", (r) => orDash(r.operations, (n) => withPrefix(n))],
  ]);
  return [text, ""];
}

/** The parameters, and those that are active for a token, or for a sample, where these are fewer. */
function parameterLines(
  { total, embeddingParameters, headParameters, active, stateValues }: Ledger,
  unit: "token" | "sample",
): readonly string[] {
  const line = (what: string, all: number, tables: number, heads: number): string =>
    `${grouped(Math.round(all))} ${what}, ${grouped(Math.round(all - tables))} of them outside embeddings` +
    (heads > 0 ? `, ${grouped(Math.round(all - tables - heads))} outside the head too` : "");
  const all = line("parameters", total.parameters, embeddingParameters, headParameters);
  const states = stateValues === 0 ? [] : [`${grouped(stateValues)} numbers in states, which are not parameters`];
  if (active.total >= total.parameters) return [all, ...states];
  return [all, line(`active for a ${unit}`, active.total, active.tables, active.heads), ...states];
}

const orDash = (value: number, text: (value: number) => string): string => (value === 0 ? "-" : text(value));

const COLUMNS: readonly Column<LedgerRow>[] = [
  ["", (r) => r.name],
  ["operations", (r) => orDash(r.executed.flops, (n) => withPrefix(n))],
  ["of dense", (r) => ratio(r.executed.flops, r.dense.flops)],
  ["bytes", (r) => orDash(r.executed.bytes, formatBytes)],
  ["of dense", (r) => ratio(r.executed.bytes, r.dense.bytes)],
  ["cache", (r) => orDash(r.executed.cache, formatBytes)],
  ["of dense", (r) => ratio(r.executed.cache, r.dense.cache)],
  ["parameters", (r) => orDash(r.parameters, grouped)],
];

const share = (part: "products" | "attention" | "other", work: Work): string =>
  `${part === "other" ? "the rest" : part} ${work.flops === 0 ? "0" : ((100 * work[part]) / work.flops).toFixed(1)}%`;
const ratio = (executed: number, dense: number): string => (dense === 0 ? "-" : (executed / dense).toFixed(4));
