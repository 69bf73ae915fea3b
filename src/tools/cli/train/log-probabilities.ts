// `modc eval --log-probabilities`: records with the log-probabilities of their texts, by token and in sum.
import { recordOf, type RecordLimits, type ScoredRecord } from "../../train/scoring/records.js";
import type { Passes } from "../../train/scoring/passes.js";
import { notFinite } from "../../train/scoring/task.js";
import { sumOf } from "../../train/scoring/texts.js";
import { TrainError } from "../../train/errors.js";
import { writerOf } from "../../train/records-node.js";
import type { Rule } from "../../train/types.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { Session } from "../../../runtime/index.js";
import { beyondLength } from "../source/beyond-bound.js";
import { recordsIn } from "../source/record-flags.js";
import { ensureWritable, writeParts } from "../source/files.js";
import type { ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { grouped, table } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";
import { expectNone } from "../tree/usage.js";
import { meanOfShares } from "./evaluated-rule.js";
import { nameOf } from "./evaluation.js";
import { objectsIn, openScoring, withPasses, type Scoring } from "./scoring.js";

type EvalFlags = Flags<typeof trainingCommands.eval>;

/** Records scored together: a pass then has texts of similar lengths. */
const TOGETHER = 64;

export async function writeLogProbabilities(
  opened: OpenedModel,
  flags: EvalFlags & { readonly data: string; readonly logProbabilities: string },
): Promise<ExitCode> {
  expectNone(flags, ["validation", "windows", "labels"], "with --log-probabilities, which scores every record");
  ensureWritable(flags.logProbabilities);
  const scoring = await openScoring(opened, flags);
  try {
    const { model, progress } = scoring;
    const { length: cut = null } = flags;
    if (cut !== null && model.bound !== null && cut > model.bound) throw beyondLength(cut, model.bound, model.name);
    const { tokenizer, chat, info } = await opened.texts();
    const writer = await writerOf(tokenizer && info && { tokenizer, chat, info }, recordsIn(flags), opened.path);
    const limits: RecordLimits = { ...writer, ...scoring.limits, cut, field: flags.field ?? "text" };
    const lines = await scoring.source(flags.data);
    // Every line is checked before the first pass.
    let [records, longest] = [0, 1];
    for await (const line of objectsIn(lines)) {
      const { texts } = await recordOf(line, limits);
      for (const { tokens } of texts.values()) longest = Math.max(longest, tokens.length);
      records++;
      progress.report("reading the records", grouped(records), "reading the records");
    }
    if (records === 0) throw new TrainError("bad-data", `${flags.data} has no records`);
    return await withRules(scoring, longest, async (rules) => {
      const sums = new Map([...rules.keys()].map((rule) => [rule, { sum: 0, counted: 0 }]));
      let done = 0;
      await writeParts(flags.logProbabilities, async (write) => {
        let some: ScoredRecord[] = [];
        const flush = async (): Promise<void> => {
          const added = some.map((): Record<string, unknown> => ({}));
          for (const [rule, passes] of rules) await score(some, { rule, passes, added, sums });
          const text = some.map(({ values }, i) => `${JSON.stringify({ ...values, ...added[i] })}\n`);
          await write(new TextEncoder().encode(text.join("")));
          done += some.length;
          progress.report("scoring the records", `${Math.floor((100 * done) / records)}%`);
          some = [];
        };
        for await (const line of objectsIn(lines)) {
          some.push(await recordOf(line, limits));
          if (some.length === TOGETHER) await flush();
        }
        if (some.length > 0) await flush();
      });
      const rows = [...rules].map(([rule, passes]) => {
        const { sum, counted } = sums.get(rule)!;
        return { rule, logProbability: sum, counted, tokens: passes.tokens, shares: passes.shares };
      });
      const text = table(rows, [
        ["rule", ({ rule }) => (model.routed || rule === "causal" ? nameOf(rule) : "all tokens")],
        ["records", () => grouped(records)],
        ["counted", (r) => grouped(r.counted)],
        ["loss", (r) => (r.counted === 0 ? "-" : (-r.logProbability / r.counted).toFixed(4))],
        ["perplexity", (r) => (r.counted === 0 ? "-" : Math.exp(-r.logProbability / r.counted).toPrecision(4))],
        ["tokens", (r) => grouped(r.tokens)],
        ["computed", (r) => meanOfShares(r.shares)],
      ]);
      const byRule = Object.fromEntries(rows.map(({ rule, ...rest }) => [rule, rest]));
      return printReport(flags, {
        json: { model: model.name, records, output: flags.logProbabilities, rules: byRule },
        text,
      });
    });
  } finally {
    scoring.close();
  }
}

/** Adds the columns of a rule. Those of the causal rule end in _causal if both rules are computed. */
async function score(
  records: readonly ScoredRecord[],
  {
    rule,
    passes,
    added,
    sums,
  }: {
    readonly rule: Rule;
    readonly passes: Passes;
    readonly added: readonly Record<string, unknown>[];
    readonly sums: ReadonlyMap<Rule, { sum: number; counted: number }>;
  },
): Promise<void> {
  const suffix = rule === "causal" && sums.size > 1 ? "_causal" : "";
  const scores = await passes.scores(records.flatMap(({ texts }) => [...texts.values()]));
  let next = 0;
  for (const [i, { texts, place }] of records.entries())
    for (const [name, text] of texts) {
      const own = scores[next++]!;
      const sum = sumOf(text, own);
      if (!Number.isFinite(sum)) throw notFinite(place);
      const total = sums.get(rule)!;
      total.sum += sum;
      total.counted += text.targets.reduce((n, target) => n + Number(target >= 0), 0);
      if (name === "tokens") {
        added[i]![`log_probability${suffix}`] = sum;
        added[i]![`log_probabilities${suffix}`] = Array.from(own, (x) => Number(x.toPrecision(9)));
      } else added[i]![`reference_${name}${suffix}`] = sum;
    }
}

/** Loads the programs of all rules, which share their weights, and calls `use` with their passes. */
function withRules<T>(
  scoring: Scoring,
  longest: number,
  use: (rules: ReadonlyMap<Rule, Passes>) => Promise<T>,
  loaded: ReadonlyMap<Rule, Passes> = new Map(),
  weightsOf?: Session,
): Promise<T> {
  const rule = scoring.model.rules[loaded.size];
  if (rule === undefined) return use(loaded);
  return withPasses(
    scoring,
    { score: "likely", rule, longest },
    (passes, session) => withRules(scoring, longest, use, new Map([...loaded, [rule, passes]]), weightsOf ?? session),
    weightsOf,
  );
}
