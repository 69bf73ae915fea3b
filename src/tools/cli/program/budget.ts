// `modc budget`: plans a training before anything is trained: operations, steps, tokens, memory, and the larger model
// that savings pay for.
import { curveOf } from "../../budget/curve.js";
import type { LayerMemory } from "../../budget/memory.js";
import type { BudgetPlan, MemoryRow, Operations, PlannedVariant, PlanOptions } from "../../budget/plan.js";
import { BudgetError } from "../../budget/errors.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { writeText } from "../source/files.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { table, grouped, plural, withPrefix, wrap } from "../terminal/units.js";
import { columns, printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";
import { escape } from "../../train/report-html.js";

export async function budget(opened: OpenedModel, flags: Flags<typeof sourceCommands.budget>): Promise<ExitCode> {
  if (flags.flops !== undefined && flags.tokens !== undefined)
    throw misuse("--flops and --tokens exclude each other", "give one of them");
  if (flags.curve !== undefined && flags.flops === undefined && flags.tokens === undefined)
    throw misuse("--curve predicts the loss after a number of tokens, so it needs --flops or --tokens", "--tokens 1e9");
  for (const name of flags.vary?.keys() ?? [])
    if (flags.set !== undefined && Object.hasOwn(flags.set, name))
      throw misuse(`--set and --vary both give ${name}`, "give one of them");
  const { planBudget } = await import("../../budget/plan.js");
  const { source, read } = opened;
  const from = { source, read, set: flags.set ?? {}, ...(flags.model === undefined ? {} : { model: flags.model }) };
  const devices = flags.devices ?? 1;
  if (flags.batch !== undefined && flags.batch % devices !== 0)
    throw misuse(
      `--batch ${flags.batch} cannot be divided evenly among --devices ${devices}`,
      `give a multiple of ${devices}: the sequences of a step, on all devices together`,
    );
  const options = {
    budget: budgetOf(flags),
    batch: flags.batch ?? 8 * devices,
    length: flags.length ?? null,
    devices,
    memory: flags.memory ?? null,
    varied: flags.vary ?? new Map<string, readonly string[]>(),
    growth: flags.grow ?? null,
    convention: flags.convention ?? "executed",
    curve: flags.curve === undefined ? null : asUsage(() => curveOf(flags.curve!)),
    engine: flags.engine ?? "modc",
  } as const;
  const plan = planBudget(from, options);
  if (flags.output !== undefined) writeText(flags.output, drawnPlan(plan));
  const { batch, memory, convention, engine } = options;
  return printReport(flags, {
    json: { ...plan, batch, devices, memory, convention, engine, budget: options.budget },
    text: planText(plan, options),
  });
}

function planText(plan: BudgetPlan, options: Omit<PlanOptions, "length">): string {
  const { batch, devices, convention } = options;
  const counted = convention === "mor" ? ", counted as in the Mixture-of-Recursions paper" : "";
  return [
    `${plan.model}, ${plural(batch, "sequence")} of ${plural(plan.length, "token")} a step, ` +
      `${plural(devices, "device")}${counted}`,
    "",
    costs(plan.variants),
    "",
    ...paid(plan.variants),
    ...plan.variants.flatMap((v) => memoryLines(v, plan.variants.length > 1, options)),
    ...plan.variants.flatMap(largerLines),
    ...notes(plan.variants, options),
  ]
    .join("\n")
    .trimEnd();
}

/** Reports an invalid curve as a usage error. */
function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (fault) {
    if (fault instanceof BudgetError) throw misuse(`--curve: ${fault.message}`, fault.hint);
    throw fault;
  }
}

function budgetOf({ flops, tokens }: Flags<typeof sourceCommands.budget>) {
  if (flops !== undefined) return { flops };
  return tokens === undefined ? null : { tokens };
}

const nameOf = ({ set }: Pick<PlannedVariant, "set">, unchanged = "as it is"): string =>
  Object.entries(set)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ") || unchanged;

const ratio = ({ executed, dense }: Operations): string => (dense === 0 ? "-" : (executed / dense).toFixed(4));

/** The costs of a variant for each token, and their ratios to the dense model's. */
const costs = (variants: readonly PlannedVariant[]): string =>
  table(variants, [
    ["a token", (v) => nameOf(v)],
    ["parameters", (v) => withPrefix(v.parameters)],
    ["inner", (v) => withPrefix(v.inner)],
    ["forward", (v) => withPrefix(v.forward.executed)],
    ["of dense", (v) => ratio(v.forward)],
    ["training", (v) => withPrefix(v.training.executed)],
    ["of dense", (v) => ratio(v.training)],
    ["generation", ({ generation }) => (generation === null ? "-" : withPrefix(generation.operations.executed))],
    ["of dense", ({ generation }) => (generation === null ? "-" : ratio(generation.operations))],
    ["cache", ({ generation }) => (generation === null ? "-" : formatBytes(generation.cache.executed))],
    ["of dense", ({ generation }) => (generation === null ? "-" : ratio(generation.cache))],
  ]);

/** What the budget pays for; nothing where there is none. */
function paid(variants: readonly PlannedVariant[]): readonly string[] {
  const rows = variants.flatMap((v) => (v.pays === null ? [] : [{ ...v.pays, name: nameOf(v), loss: v.loss }]));
  if (rows.length === 0) return [];
  const text = table(rows, [
    ["the budget", (r) => r.name],
    ["steps", (r) => grouped(r.steps)],
    ["dense", (r) => grouped(r.denseSteps)],
    ["tokens", (r) => withPrefix(r.tokens)],
    ["operations", (r) => withPrefix(r.operations)],
    ["tokens a parameter", (r) => few(r.tokensPerParameter)],
    variants.some((v) => v.loss !== null) && ["loss", (r) => r.loss?.toFixed(3) ?? ""],
  ]);
  return [text, ""];
}

/** Three digits that matter. */
const few = (value: number): string => (value >= 100 ? grouped(Math.round(value)) : value.toPrecision(3));

function memoryLines(
  variant: PlannedVariant,
  named: boolean,
  { devices, engine }: Pick<PlanOptions, "devices" | "engine">,
): readonly string[] {
  const { memory } = variant;
  if (memory.length === 0) return [];
  const held = memory.some((row) => row.sequences !== null);
  const where = named ? `${nameOf(variant)}, ` : "";
  const terms = engine === "torch" ? TERMS : TERMS.filter((term) => term !== "gradients" && term !== "activations");
  return [
    `${where}${devices === 1 ? "on one device" : `on ${devices} devices`}:`,
    table(memory, [
      [engine === "torch" ? "training in PyTorch" : "memory of training", layoutOf],
      ["a device", (r) => formatBytes(r.use.total)],
      ["dense", (r) => formatBytes(r.dense.total)],
      ...terms.map((term) => [term, (r: MemoryRow) => bytes(r.use[term] ?? 0)] as const),
      held && ["most sequences", (r) => fits(r.sequences!.executed)],
      held && ["dense", (r) => fits(r.sequences!.dense)],
      held && ["devices needed", (r) => r.fewest ?? "none"],
    ]),
    "",
    ...layerLines(memory[0]!),
  ];
}

/** The terms of the total; modc's own step counts gradients and activations in the rest. */
const TERMS = ["weights", "gradients", "moments", "activations", "gathered", "rest"] as const;

const bytes = (count: number): string => (count < 1 ? "-" : formatBytes(count));

/** The activations that each layer keeps for the backward pass; equal layers share a row of the table. */
function layerLines(row: MemoryRow): readonly string[] {
  const { layers } = row.use;
  if (layers.length === 0) return [];
  const groups = new Map<string, LayerMemory[]>();
  for (const layer of layers) {
    const key = `${layer.parameters} ${layer.activations}`;
    groups.set(key, [...(groups.get(key) ?? []), layer]);
  }
  const rows = [...groups.values()].map((layers) => ({ ...layers[0]!, others: layers.length - 1 }));
  return [
    table(rows, [
      [`kept by layer (${layoutOf(row)})`, (r) => (r.others === 0 ? r.layer : `${r.layer} and ${r.others} alike`)],
      ["weights", (r) => bytes(r.parameters)],
      ["activations", (r) => bytes(r.activations)],
    ]),
    "",
  ];
}

const fits = (sequences: number): string => (sequences === 0 ? "-" : grouped(sequences));

const layoutOf = ({ sharding, precision, recompute }: MemoryRow): string =>
  `${sharding}, ${precision}${recompute ? ", recomputed" : ""}`;

function largerLines(variant: PlannedVariant): readonly string[] {
  const { larger, largerInMemory, forward } = variant;
  const lines = [
    ["operations of the dense model pay", larger],
    ["memory of the dense model's training pays", largerInMemory],
  ] as const;
  return lines.flatMap(([what, model]) =>
    model === null
      ? []
      : wrap(
          `${nameOf(variant)}: `,
          [
            `the ${what} for ${nameOf(model)}`,
            `${withPrefix(model.parameters)} parameters`,
            `${model.ratio.toFixed(2)} times as many`,
            `${model.innerRatio.toFixed(2)} times outside embeddings and head`,
            `${withPrefix(model.operations)} operations a token against ${withPrefix(forward.dense)}`,
          ],
          ", ",
          columns(),
        ),
  );
}

/** Notes on facts that the figures leave out. */
function notes(
  variants: readonly PlannedVariant[],
  { curve, devices, growth }: Pick<PlanOptions, "curve" | "devices" | "growth">,
): readonly string[] {
  const grows = growth === null || growth.size > 0;
  const isShared = ({ memory }: PlannedVariant): boolean => memory.some(({ sharding }) => sharding === "tp");
  return [
    ...(variants.some((v) => !v.training.counted)
      ? ["The model has no objective: training is counted as three forward passes, and its memory is not known."]
      : []),
    ...(devices > 1 && variants.some((v) => v.memory.length > 0 && !isShared(v))
      ? [`Tensor parallelism in PyTorch divides heads and columns evenly, which ${devices} devices cannot do.`]
      : []),
    ...(grows && variants.some(({ larger, forward: { executed, dense } }) => larger === null && executed < dense)
      ? ["A larger model, by --grow or by depth, is shown only if its operations stay below the dense model's."]
      : []),
    ...(curve ? [] : ["The loss is not known before training: give a measured curve with --curve."]),
  ];
}

const WIDTH = 720;
const LABEL = 190;
const BAR = 14;
const ROW = 2 * BAR + 14;
const COLORS = { executed: "#2563eb", dense: "#cbd5e1" };

interface Panel {
  readonly title: string;
  readonly rows: readonly { readonly name: string; readonly value: Operations }[];
  readonly format: (value: number) => string;
}

/** One panel for operations, and one for each memory layout if the model has an objective. */
export function drawnPlan(plan: BudgetPlan): string {
  const panels = panelsOf(plan);
  const heights = panels.map((panel) => 34 + ROW * panel.rows.length);
  const height = heights.reduce((sum, h) => sum + h, 44);
  let top = 40;
  const parts = panels.map((panel, i) => {
    const part = drawn(panel, top);
    top += heights[i]!;
    return part;
  });
  return `<!-- Made by modc. -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"
  font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="600">${escape(plan.model)}</text>
<rect x="${WIDTH - 230}" y="14" width="12" height="12" fill="${COLORS.executed}"/>
<text x="${WIDTH - 212}" y="24">as it is</text>
<rect x="${WIDTH - 140}" y="14" width="12" height="12" fill="${COLORS.dense}"/>
<text x="${WIDTH - 122}" y="24">nothing skipped</text>
${parts.join("\n")}
</svg>
`;
}

function panelsOf({ model, variants }: BudgetPlan): readonly Panel[] {
  const operations: Panel = {
    title: "operations of training, a token",
    rows: variants.map((v) => ({ name: nameOf(v, model), value: v.training })),
    format: (value) => withPrefix(value, 3),
  };
  const layouts = variants[0]?.memory ?? [];
  const memory = layouts.map(({ sharding, precision, recompute, devices }, i): Panel => {
    const where = devices === 1 ? "" : ` on ${devices} devices`;
    return {
      title: `memory of a device: ${sharding}${where}, ${precision}${recompute ? ", recomputed" : ""}`,
      rows: variants.map((v) => ({
        name: nameOf(v, model),
        value: { executed: v.memory[i]!.use.total, dense: v.memory[i]!.dense.total },
      })),
      format: formatBytes,
    };
  });
  return [operations, ...memory];
}

function drawn({ title, rows, format }: Panel, top: number): string {
  const most = Math.max(...rows.flatMap(({ value }) => [value.executed, value.dense]), 1);
  const toWidth = (value: number): string => (((WIDTH - LABEL - 100) * value) / most).toFixed(1);
  const bars = rows.map(({ name, value }, i) => {
    const y = top + 24 + ROW * i;
    const bar = (of: "executed" | "dense", at: number): string =>
      `<rect x="${LABEL}" y="${at}" width="${toWidth(value[of])}" height="${BAR - 2}" fill="${COLORS[of]}"/>` +
      `<text x="${LABEL + 6 + Number(toWidth(value[of]))}" y="${at + BAR - 4}">${escape(format(value[of]))}</text>`;
    return (
      `<text x="${LABEL - 8}" y="${y + BAR + 2}" text-anchor="end">${escape(name)}</text>` +
      bar("executed", y) +
      bar("dense", y + BAR)
    );
  });
  return [`<text x="12" y="${top + 14}" font-weight="600">${escape(title)}</text>`, ...bars].join("\n");
}
