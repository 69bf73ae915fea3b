// `modc eval --task`: how many questions a model answers rightly, under either rule.
import { accuracyOf, judgeChoices, judgeGreedy, type Accuracy } from "../../train/scoring/task.js";
import { questionOf, type ChoiceQuestion, type GreedyQuestion, type Question } from "../../train/scoring/questions.js";
import { TrainError } from "../../train/errors.js";
import type { Rule } from "../../train/types.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { ExitCode } from "../terminal/exit.js";
import { printReport } from "../terminal/terminal.js";
import { grouped, percent, table } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";
import { expectNone } from "../tree/usage.js";
import { meanOfShares } from "./evaluated-rule.js";
import { byRule, nameOf } from "./evaluation.js";
import { openScoring, objectsIn, withPasses, type Scoring } from "./scoring.js";

type EvalFlags = Flags<typeof trainingCommands.eval>;

/** What one rule answers. `byBytes`: by log-probability over the bytes of a choice. */
interface TaskFound {
  readonly rule: Rule;
  readonly choices: Accuracy | null;
  readonly byBytes: Accuracy | null;
  readonly greedy: Accuracy | null;
  readonly tokens: number;
  readonly shares: Readonly<Record<string, number>>;
}

export async function evaluateTask(
  opened: OpenedModel,
  flags: EvalFlags & { readonly task: string },
): Promise<ExitCode> {
  expectNone(
    flags,
    ["data", "logProbabilities", "field", "chatTemplate", "labels", "learn", "length", "validation", "windows"],
    "with --task, whose questions are all read",
  );
  const scoring = await openScoring(opened, flags);
  try {
    const questions: Question[] = [];
    for await (const line of objectsIn(await scoring.source(flags.task))) {
      questions.push(await questionOf(line, scoring.limits));
      scoring.progress.report("reading the task", `${grouped(questions.length)} questions`, "reading the task");
    }
    if (questions.length === 0) throw new TrainError("bad-data", `${flags.task} has no questions`);
    const choices = questions.filter((q): q is ChoiceQuestion => q.kind === "choices");
    const greedy = questions.filter((q): q is GreedyQuestion => q.kind === "greedy");
    const rows: TaskFound[] = [];
    for (const rule of scoring.model.rules) rows.push(await judge(scoring, rule, { choices, greedy }));
    const [some, given] = [choices.length > 0, greedy.length > 0];
    const text = table(rows, [
      ["rule", ({ rule }) => (scoring.model.routed || rule === "causal" ? nameOf(rule) : "all tokens")],
      some && ["choices", () => grouped(choices.length)],
      some && ["likeliest", (r) => shown(r.choices!)],
      some && ["by bytes", (r) => shown(r.byBytes!)],
      given && ["texts", () => grouped(greedy.length)],
      given && ["begin so", (r) => shown(r.greedy!)],
      ["tokens", (r) => grouped(r.tokens)],
      ["computed", (r) => meanOfShares(r.shares)],
    ]);
    const rules = Object.fromEntries(rows.map(({ rule, ...rest }) => [rule, rest]));
    return printReport(flags, {
      json: { model: scoring.model.name, task: flags.task, questions: questions.length, rules },
      text,
    });
  } finally {
    scoring.close();
  }
}

/** `42.5% ± 1.2%` */
const shown = ({ correct, questions, standardError }: Accuracy): string =>
  `${percent(correct, questions)}${standardError === null ? "" : ` ± ${percent(standardError, 1)}`}`;

async function judge(
  scoring: Scoring,
  rule: Rule,
  { choices, greedy }: { readonly choices: readonly ChoiceQuestion[]; readonly greedy: readonly GreedyQuestion[] },
): Promise<TaskFound> {
  const { limits, progress } = scoring;
  const total = choices.length + greedy.length;
  let done = 0;
  const answered = (questions: number): void => {
    done += questions;
    progress.report(`answering${byRule(rule, scoring.model)}`, `${Math.floor((100 * done) / total)}%`);
  };
  let [tokens, found] = [
    0,
    { choices: null, byBytes: null, greedy: null } as Pick<TaskFound, "choices" | "byBytes" | "greedy">,
  ];
  const chosen = new Map<string, number>();
  const add = (passes: { readonly tokens: number; readonly shares: Readonly<Record<string, number>> }): void => {
    tokens += passes.tokens;
    for (const [path, share] of Object.entries(passes.shares))
      chosen.set(path, (chosen.get(path) ?? 0) + share * passes.tokens);
  };
  if (choices.length > 0) {
    const longest = longestOf(choices.flatMap((question) => question.choices.map((text) => text.tokens.length)));
    await withPasses(scoring, { score: "likely", rule, longest }, async (passes) => {
      const { likeliest, byBytes } = await judgeChoices(choices, passes, answered);
      const [by, over] = [accuracyOf(likeliest, choices.length), accuracyOf(byBytes, choices.length)];
      found = { ...found, choices: by, byBytes: over };
      add(passes);
    });
  }
  if (greedy.length > 0) {
    const longest = longestOf(greedy.map(({ prompt, likely }) => prompt.length + likely.length));
    await withPasses(scoring, { score: "greedy", rule, longest }, async (passes) => {
      const ahead = rule === "causal" || !scoring.model.routed;
      const right = await judgeGreedy(greedy, passes, { ahead, limits, ends: scoring.ends }, answered);
      found = { ...found, greedy: accuracyOf(right, greedy.length) };
      add(passes);
    });
  }
  return { rule, ...found, tokens, shares: Object.fromEntries([...chosen].map(([path, n]) => [path, n / tokens])) };
}

const longestOf = (lengths: readonly number[]): number => lengths.reduce((a, b) => Math.max(a, b), 1);
