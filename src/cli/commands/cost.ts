// `modc cost`: operations, bytes, parameters and cache, layer by layer, beside the same model with nothing skipped.
import { ledger, stepsWithin, type Convention, type Ledger, type LedgerRow, type Work } from "../../cost/ledger.js";
import type { Model } from "../../check/model.js";
import { lower } from "../../lower/lower.js";
import { optimize } from "../../passes/index.js";
import { formatBytes } from "../../runtime/errors.js";
import { parseDecimal, parseRational, rational, divide, type Rational } from "../../size/rational.js";
import { extentsOf, pairs, positiveNumber } from "../arguments.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { checkFile, type ModelFlags } from "../frontend.js";
import { table } from "../table.js";
import { out, outJson } from "../terminal.js";

export interface CostFlags extends ModelFlags {
  readonly at?: string;
  readonly convention?: Convention;
  readonly precision?: "f32" | "f16";
  readonly live?: readonly string[];
  readonly budget?: string;
  readonly stepTokens?: string;
  readonly json?: boolean;
}

export async function cost(file: string, flags: CostFlags): Promise<ExitCode> {
  const budget = flags.budget === undefined ? null : positiveNumber("--budget", flags.budget);
  const stepTokens = flags.stepTokens === undefined ? null : positiveNumber("--step-tokens", flags.stepTokens);
  if ((budget === null) !== (stepTokens === null))
    throw new UserError("--budget and --step-tokens belong together", "--budget 16.5e18 --step-tokens 2097152", EXIT.usage);
  const { model } = await checkFile(file, flags);
  const found = ledger(optimize(lower(model)), model, {
    extents: extents(model, flags.at),
    live: liveValues(model, flags.live ?? []),
    convention: flags.convention ?? "executed",
    bytesPerValue: flags.precision === "f16" ? 2 : 4,
  });
  const steps = budget !== null && stepTokens !== null ? stepsWithin(budget, found, stepTokens) : null;
  if (flags.json) outJson({ model: model.name, phase: model.phase, ...found, ...(steps === null ? {} : { steps }) });
  else out(printed(model, found, steps));
  return EXIT.fine;
}

/** `--at`, then 1 for the batch and an axis's bound for the rest. */
function extents(model: Model, at: string | undefined): ReadonlyMap<string, number> {
  const given = at === undefined ? new Map<string, number>() : extentsOf("--at", at);
  const axes = model.axes.filter((axis) => axis.role !== "sequence" || axis.count.kind === "input");
  const names = axes.map((axis) => axis.name).join(", ");
  for (const name of given.keys())
    if (!axes.some((axis) => axis.name === name)) throw new UserError(`--at: the model has no axis ${name}`, `it has ${names || "none"}`);
  return new Map(
    axes.map((axis) => {
      const value = given.get(axis.name) ?? (axis.role === "batch" ? 1 : axis.bound);
      if (value === null) throw new UserError(`${axis.name} has no bound: say how long it is`, `--at ${axis.name}=2048`);
      if (axis.bound !== null && value > axis.bound) throw new UserError(`--at ${axis.name}=${value}: the model allows ${axis.bound}`);
      return [axis.name, value];
    }),
  );
}

function liveValues(model: Model, texts: readonly string[]): ReadonlyMap<string, Rational> {
  return new Map(
    Object.entries(pairs("--live", texts)).map(([name, text]) => {
      if (!model.live.some((l) => l.name === name))
        throw new UserError(`the model has no live parameter ${name}`, model.live.length > 0 ? `it has ${model.live.map((l) => l.name).join(", ")}` : null);
      const percent = text.endsWith("%") ? parseDecimal(text.slice(0, -1)) : null;
      const value = percent ? divide(percent, rational(100)) : (parseDecimal(text) ?? parseRational(text));
      if (!value) throw new UserError(`--live ${name}=${text}: write a number such as 0.5, 12.5% or 1/8`);
      return [name, value];
    }),
  );
}

function printed(model: Model, found: Ledger, steps: number | null): string {
  const at = Object.entries(found.extents)
    .map(([name, n]) => `${name}=${n}`)
    .join(" ");
  const counted = found.convention === "mor" ? ", counted as the Mixture-of-Recursions paper does" : "";
  const { total, tokens, embeddingParameters } = found;
  const rows = [...found.rows, { name: "total", ...total }];
  const lines = [
    `${model.name}, ${model.phase} ${model.entry}, ${at}, ${found.bytesPerValue} bytes a value${counted}`,
    "",
    table(["", "operations", "of dense", "bytes", "of dense", "cache", "of dense", "parameters"], rows.map(cells)),
    "",
    `${flops(total.executed.flops / tokens)} operations a token (${share("products", total.executed)}, ${share("attention", total.executed)}, ${share("other", total.executed)}); dense ${flops(total.dense.flops / tokens)}`,
    `${grouped(total.parameters)} parameters, ${grouped(total.parameters - embeddingParameters)} of them outside embeddings`,
  ];
  if (steps !== null) lines.push(`${grouped(Math.round(steps))} steps within the budget (${steps.toFixed(2)})`);
  return lines.join("\n");
}

function cells({ name, executed, dense, parameters }: LedgerRow): readonly (string | number)[] {
  const bytes = (value: number): string => (value === 0 ? "-" : formatBytes(value));
  return [
    name,
    executed.flops === 0 ? "-" : flops(executed.flops),
    ratio(executed.flops, dense.flops),
    bytes(executed.bytes),
    ratio(executed.bytes, dense.bytes),
    bytes(executed.cache),
    ratio(executed.cache, dense.cache),
    parameters === 0 ? "-" : grouped(parameters),
  ];
}

const share = (part: "products" | "attention" | "other", work: Work): string =>
  `${part === "other" ? "the rest" : part} ${work.flops === 0 ? "0" : ((100 * work[part]) / work.flops).toFixed(1)}%`;
const ratio = (executed: number, dense: number): string => (dense === 0 ? "-" : (executed / dense).toFixed(4));
const grouped = (n: number): string => n.toLocaleString("en");

/** `1.28 T`: with the prefix that leaves one to three digits before the point. */
function flops(value: number): string {
  const prefixes = ["", " k", " M", " G", " T", " P", " E"];
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${step === 0 ? Math.round(value) : (value / 1000 ** step).toPrecision(4)}${prefixes[step]!}`;
}
