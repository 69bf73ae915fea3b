// `modc budget`: plans a training before anything is trained: operations, steps, tokens, memory, and the larger model
// that savings pay for.
import { curveOf } from "../../budget/curve.js";
import type { MemoryRow, Operations, PlannedVariant, PlanOptions } from "../../budget/plan.js";
import { drawnPlan } from "../../budget/drawn.js";
import { BudgetError } from "../../budget/errors.js";
import type { OpenedModel } from "../../../models/open.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { writeText } from "../source/files.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { table } from "../terminal/table.js";
import { columns, out, outJson } from "../terminal/terminal.js";
import { grouped, plural, withPrefix, wrap } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

export async function budget(opened: OpenedModel, flags: Flags<typeof sourceCommands.budget>): Promise<ExitCode> {
  if (flags.flops !== undefined && flags.tokens !== undefined)
    throw new UserError("--flops and --tokens are two budgets", "give one of them", EXIT.usage);
  if (flags.curve !== undefined && flags.flops === undefined && flags.tokens === undefined)
    throw new UserError("--curve tells the loss after so many tokens: it needs a budget", "--tokens 1e9", EXIT.usage);
  for (const name of flags.vary?.keys() ?? [])
    if (flags.set !== undefined && Object.hasOwn(flags.set, name))
      throw new UserError(`--set and --vary both say what ${name} is`, "give one of them", EXIT.usage);
  const { planBudget } = await import("../../budget/plan.js");
  const { source, read } = opened;
  const from = { source, read, set: flags.set ?? {}, ...(flags.model === undefined ? {} : { model: flags.model }) };
  const devices = flags.devices ?? 1;
  if (flags.batch !== undefined && flags.batch % devices !== 0)
    throw new UserError(
      `--batch ${flags.batch} cannot be shared out evenly among --devices ${devices}`,
      `give a multiple of ${devices}: a step's sequences, on all devices together`,
      EXIT.usage,
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
  if (flags.json) {
    const { batch, memory, convention, engine } = options;
    outJson({ ...plan, batch, devices, memory, convention, engine, budget: options.budget });
    return EXIT.fine;
  }
  const counted = options.convention === "mor" ? ", counted as the Mixture-of-Recursions paper does" : "";
  const lines = [
    `${plan.model}, ${plural(options.batch, "sequence")} of ${plural(plan.length, "token")} a step, ` +
      `${plural(devices, "device")}${counted}`,
    "",
    costs(plan.variants),
    "",
    ...paid(plan.variants),
    ...plan.variants.flatMap((v) => memoryLines(v, plan.variants.length > 1, options)),
    ...plan.variants.flatMap(largerLines),
    ...notes(plan.variants, options),
  ];
  out(lines.join("\n").trimEnd());
  return EXIT.fine;
}

/** A curve that is none is a mistake of the command line. */
function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (fault) {
    if (fault instanceof BudgetError) throw new UserError(`--curve: ${fault.message}`, fault.hint, EXIT.usage);
    throw fault;
  }
}

function budgetOf({ flops, tokens }: Flags<typeof sourceCommands.budget>) {
  if (flops !== undefined) return { flops };
  return tokens === undefined ? null : { tokens };
}

const nameOf = ({ set }: Pick<PlannedVariant, "set">): string =>
  Object.entries(set)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ") || "as it is";

const ratio = ({ executed, dense }: Operations): string => (dense === 0 ? "-" : (executed / dense).toFixed(4));

/** What a variant costs for each token, beside the dense model. */
function costs(variants: readonly PlannedVariant[]): string {
  const heading = ["a token", "parameters", "inner", "forward", "of dense", "training", "of dense"];
  const rows = variants.map((variant) => {
    const { parameters, inner, forward, training, generation } = variant;
    return [
      nameOf(variant),
      ...[parameters, inner, forward.executed].map((count) => withPrefix(count)),
      ratio(forward),
      withPrefix(training.executed),
      ratio(training),
      ...(generation === null
        ? ["-", "-", "-", "-"]
        : [
            withPrefix(generation.operations.executed),
            ratio(generation.operations),
            formatBytes(generation.cache.executed),
            ratio(generation.cache),
          ]),
    ];
  });
  return table([...heading, "generation", "of dense", "cache", "of dense"], rows);
}

/** What the budget pays for; nothing where there is none. */
function paid(variants: readonly PlannedVariant[]): readonly string[] {
  const rows = variants.flatMap((variant) => {
    const { pays, loss } = variant;
    if (pays === null) return [];
    return [
      [
        nameOf(variant),
        grouped(pays.steps),
        grouped(pays.denseSteps),
        withPrefix(pays.tokens),
        withPrefix(pays.operations),
        few(pays.tokensPerParameter),
        ...(loss === null ? [] : [loss.toFixed(3)]),
      ],
    ];
  });
  if (rows.length === 0) return [];
  const heading = ["the budget", "steps", "dense", "tokens", "operations", "tokens a parameter"];
  return [table(variants.some((v) => v.loss !== null) ? [...heading, "loss"] : heading, rows), ""];
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
  const what = engine === "torch" ? "training in PyTorch" : "memory of training";
  const heading = [what, "a device", "dense", "weights", "moments", "gathered", "rest"];
  const held = memory.some((row) => row.sequences !== null);
  const rows = memory.map((row) => [
    layoutOf(row),
    formatBytes(row.use.total),
    formatBytes(row.dense.total),
    ...[row.use.weights, row.use.moments, row.use.gathered, row.use.rest].map((n) => (n < 1 ? "-" : formatBytes(n))),
    ...(held ? [fits(row.sequences!.executed), fits(row.sequences!.dense), row.fewest ?? "none"] : []),
  ]);
  const more = held ? ["most sequences", "dense", "devices needed"] : [];
  const where = named ? `${nameOf(variant)}, ` : "";
  return [
    `${where}${devices === 1 ? "on one device" : `on ${devices} devices`}:`,
    table([...heading, ...more], rows),
    "",
  ];
}

const fits = (sequences: number): string => (sequences === 0 ? "-" : grouped(sequences));

const layoutOf = ({ sharding, precision, recompute }: MemoryRow): string =>
  `${sharding}, ${precision}${recompute ? ", recomputed" : ""}`;

function largerLines(variant: PlannedVariant): readonly string[] {
  const { larger, largerInMemory, forward } = variant;
  const found = [
    ["operations of the dense model pay", larger],
    ["memory of the dense model's training pays", largerInMemory],
  ] as const;
  return found.flatMap(([what, model]) =>
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

/** What the figures do not tell. */
function notes(
  variants: readonly PlannedVariant[],
  { curve, devices, growth }: Pick<PlanOptions, "curve" | "devices" | "growth">,
): readonly string[] {
  const grows = growth === null || growth.size > 0;
  const isShared = ({ memory }: PlannedVariant): boolean => memory.some(({ sharding }) => sharding === "tp");
  return [
    ...(variants.some((v) => !v.training.counted)
      ? ["The model has no objective: training is taken for three forward passes, its memory is not known."]
      : []),
    ...(devices > 1 && variants.some((v) => v.memory.length > 0 && !isShared(v))
      ? [`Tensor parallelism in PyTorch divides heads and columns evenly: ${devices} devices cannot share them out.`]
      : []),
    ...(grows && variants.some(({ larger, forward: { executed, dense } }) => larger === null && executed < dense)
      ? ["No larger model, by --grow or by depth, is told where the next takes more operations than the dense one."]
      : []),
    ...(curve ? [] : ["The loss is not known before training: --curve gives a curve that was measured."]),
  ];
}
