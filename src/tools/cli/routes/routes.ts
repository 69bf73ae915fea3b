// `modc routes`: what a model's routes do over a text, as tables and as a page with plots.
import type { Program } from "../../../runtime/program/program.js";
import type { Results } from "../../../runtime/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { bytesTokenizer, type Tokenizer } from "../../../models/tokenizer/index.js";
import { textWithin } from "../../../models/tokenizer/text-stream.js";
import type { Batch, Rule } from "../../train/types.js";
import { observedRoutes, type ShownRoute } from "../../../runtime/program/observed-routes.js";
import { pathIn, writeText } from "../source/files.js";
import { UserError, misuse, type ExitCode } from "../terminal/exit.js";
import { table, grouped, percent, type Column } from "../terminal/units.js";
import { printReport, say } from "../terminal/terminal.js";
import { Agreement, routesOfTokens } from "../train/agreement.js";
import type { Observe } from "../train/evaluated-rule.js";
import { evaluateRules, nameOf } from "../train/evaluation.js";
import { checkedModel } from "../train/training.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";
import {
  ChoiceDifference,
  EntropyByDepth,
  KINDS,
  kindOf,
  RouteStatistics,
  type RouteFound,
  type TokenFound,
  type RoutesReport,
} from "./statistics.js";
import { routesPage } from "./page.js";

/** Sequences that are looked at where none says how many. */
const USUAL_WINDOWS = 256;
/** Tokens in a list of those computed most, or least. */
const LISTED = 12;
/** Routes that a message names. */
const NAMED = 4;

type RoutesFlags = Flags<typeof trainingCommands.routes>;

export async function routes(opened: OpenedModel, given: RoutesFlags): Promise<ExitCode> {
  const { against, output, json, data, text, field, ...more } = given;
  const flags = { windows: USUAL_WINDOWS, ...more, ...textOf({ data, text, field }) };
  const tokenizer = (await opened.texts()).tokenizer ?? bytesTokenizer;
  const report = await reportOf(opened, flags, against, tokenizer);
  if (output !== undefined) writeText(output, routesPage(report));
  return printReport({ json }, { json: jsonOf(report), text: printed(report) });
}

/** The options that determine the text. */
interface TextFlags {
  readonly data: string;
  readonly text?: string;
  readonly field?: string;
}

function textOf({ data, text, field }: { readonly [K in keyof TextFlags]: TextFlags[K] | undefined }): TextFlags {
  const path = text === undefined ? data : pathIn(text);
  if (path === undefined) {
    const message = "--data or --text is missing: the text to read";
    throw misuse(message, "give --data, or a run's folder, which has its own text");
  }
  if (text !== undefined && data !== undefined)
    throw misuse("--text and --data exclude each other", "give one of them");
  if (path !== null) return { data: path, ...(field !== undefined && { field }) };
  if (text === "") throw misuse("--text is empty");
  if (field !== undefined)
    throw misuse("--field is for JSONL, but --text is plain text", "give a file: --text @file.jsonl");
  return { data: "", text: text! };
}

async function reportOf(
  opened: OpenedModel,
  flags: Omit<RoutesFlags, "against" | "output" | "json"> & { readonly data: string },
  against: string | undefined,
  tokenizer: Tokenizer,
): Promise<RoutesReport> {
  const model = await checkedModel(opened, flags, () => undefined);
  if (model.run.inputs === null)
    throw new UserError(
      `routes are shown over a text, which cannot fill the inputs of ${model.run.name}: ` +
        model.run.declared.inputs.map(({ name }) => name).join(", "),
      "`modc eval --data records.jsonl` gives the share of tokens that they compute, `modc run --input` shows tokens",
    );
  const others = against === undefined ? null : opened.otherWeights(against);
  await others?.fitted(model.run);
  const texts = new Map<number, string>();
  const shown = textWithin(tokenizer);
  const textOf = (token: number): string => {
    let text = texts.get(token);
    if (text === undefined) texts.set(token, (text = shown(token)));
    return text;
  };
  const statistics = new Map<Rule, RouteStatistics>();
  const differences = new Map<Rule, ChoiceDifference>();
  // Both rules name their routes alike.
  let agreement: Agreement | null = null;
  const entropies = new EntropyByDepth();
  const count: Observe = (rule, results, batch, program) => {
    const { own, tokens } = read(results, batch, program);
    if (statistics.size === 0) expectPlaced(model.run.name, own);
    if (!statistics.has(rule)) statistics.set(rule, new RouteStatistics((token) => kindOf(textOf(token))));
    statistics.get(rule)!.add(tokens, batch.rows, batch.length, own);
    if (against !== undefined) {
      if (!differences.has(rule)) differences.set(rule, new ChoiceDifference());
      differences.get(rule)!.first(batch.rows, batch.length, own);
    }
    agreement ??= new Agreement(new Set(routesOfTokens(program)));
    agreement.observe(rule, results, batch, program);
  };
  const evaluated = await evaluateRules(opened, flags, count, (logits, _, results, batch, program) =>
    entropies.add(results[logits]!.data, batch.rows, batch.length, read(results, batch, program).own),
  );
  // The rule of generation, if the model can generate.
  const rule = evaluated.rules.has("causal") ? "causal" : "top-k";
  const difference = differences.get(rule);
  let other: RoutesReport["against"] = null;
  if (others && difference) {
    const observe: Observe = (_, results, batch, program) =>
      difference.second(batch.rows, batch.length, read(results, batch, program).own);
    const { rules } = await evaluateRules(opened, { ...flags, rule }, observe, null, others);
    other = { weights: against!, loss: rules.get(rule)!.loss, routes: difference.found() };
  }
  return {
    model: evaluated.model.run.name,
    rule,
    loss: evaluated.rules.get(rule)!.loss,
    ...(statistics.get(rule) ?? new RouteStatistics(() => "other")).found(),
    agreement: (agreement as Agreement | null)?.layers() ?? [],
    entropies: entropies.found(),
    against: other,
    textOf,
  };
}

/** Refuses a model without a route whose tokens have places in the text; notes what routes have none. */
function expectPlaced(name: string, own: readonly ShownRoute[]): void {
  if (own.length === 0) throw new UserError(`${name} observes no choice of tokens, so there is no route to show`);
  const lost = own.flatMap(({ path, absolute }) => (absolute ? [] : [path]));
  if (lost.length === 0) return;
  const reason = "they are chosen among the tokens of an unobserved route, so their positions are unknown";
  const listed = lost.length > NAMED ? `${lost.slice(0, NAMED).join(", ")}, …` : lost.join(", ");
  if (lost.length < own.length) return say(`note: left out the tokens of ${listed}: ${reason}`);
  throw new UserError(
    `${name} observes only the tokens of ${listed}: ${reason}`,
    "observe the route from which they are chosen; the tokens of an expert are not a route in the source",
  );
}

/** The routes of a batch, and its tokens: of the inputs of a text, the first. */
function read(
  results: Results,
  { inputs }: Batch,
  program: Program,
): { readonly own: readonly ShownRoute[]; readonly tokens: ArrayLike<number> } {
  const own = observedRoutes(program, new Map(Object.entries(results)));
  return { own, tokens: Object.values(inputs)[0]! };
}

function jsonOf({ textOf, often, ...report }: RoutesReport): object {
  return { ...report, often: often.map((found) => ({ ...found, text: textOf(found.token) })) };
}

function printed(report: RoutesReport): string {
  const { model, rule, tokens, routes: all, kinds, depths, agreement, against, often } = report;
  const agrees = new Map(agreement.map(({ path, agrees: share }) => [path, share]));
  const kindsThere = KINDS.filter((kind) => kinds[kind] > 0);
  const counts = depths.map((share, n) => `${n}: ${percent(share, 1)}`);
  const lines = [
    `${model}, ${grouped(tokens)} tokens by ${nameOf(rule)}, loss ${report.loss.toFixed(4)}`,
    "",
    table(all, [
      ["route", (r) => r.path],
      ["computes", (r) => percent(r.share, 1)],
      ["bits", (r) => r.entropy.toFixed(3)],
      ["by the token", (r) => percent(r.byToken, r.entropy)],
      agrees.size > 0 && ["rules agree", ({ path }) => (agrees.has(path) ? percent(agrees.get(path)!, 1) : "-")],
    ]),
    "",
    table(
      [{ path: "(share of the text)", byKind: kinds }, ...all],
      [
        ["computes of", (r) => r.path],
        ...kindsThere.map((kind): Column<Pick<RouteFound, "byKind">> => [kind, (r) => percent(r.byKind[kind]!, 1)]),
      ],
    ),
    "",
    `tokens by how many of ${all.length} routes compute them: ${counts.join(", ")}`,
  ];
  const uncertain = report.entropies.flatMap(({ depth, bits }) =>
    bits === null ? [] : `${depth}: ${bits.toFixed(2)}`,
  );
  if (uncertain.length > 0) lines.push(`bits of uncertainty about the next token: ${uncertain.join(", ")}`);
  const list = (named: string, listed: readonly TokenFound[]): void => {
    if (listed.length === 0) return;
    const shown = listed
      .slice(0, LISTED)
      .map(({ token, share }) => `${JSON.stringify(report.textOf(token))} ${percent(share, 1)}`);
    lines.push(`${named}: ${shown.join(", ")}`);
  };
  list(
    "computed most",
    often.filter(({ share }) => share > 0),
  );
  list(
    "computed least",
    often.toReversed().filter(({ share }) => share < 1),
  );
  const always = often.filter(({ share }) => share === 1).length;
  const never = often.filter(({ share }) => share === 0).length;
  if (often.length > 0)
    lines.push(`${grouped(often.length)} frequent tokens: ${always} always computed, ${never} never`);
  if (against)
    lines.push(
      "",
      `against ${against.weights}, loss ${against.loss.toFixed(4)}`,
      table(against.routes, [
        ["route", (r) => r.path],
        ["computes", (r) => percent(r.before, 1)],
        ["there", (r) => percent(r.after, 1)],
        ["chosen otherwise", (r) => percent(r.changed, 1)],
      ]),
    );
  return lines.join("\n");
}
