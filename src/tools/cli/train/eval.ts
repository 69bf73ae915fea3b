// `modc eval`: loss, perplexity and bits per byte of a model on a text, under either rule.
import { evaluateRules, nameOf } from "./evaluation.js";
import { unitOf } from "../../train/model.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { meanOfShares } from "./evaluated-rule.js";
import { table, grouped, percent } from "../terminal/units.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";

export async function evaluate(opened: OpenedModel, flags: Flags<typeof trainingCommands.eval>): Promise<ExitCode> {
  const { data, task } = flags;
  if (task !== undefined) return (await import("./task.js")).evaluateTask(opened, { ...flags, task });
  const { logProbabilities } = flags;
  if (data === undefined)
    throw misuse(
      "--data is missing: the text to read",
      "give --data, or a run's folder, which has its own text; or questions: --task",
    );
  if (logProbabilities !== undefined)
    return (await import("./log-probabilities.js")).writeLogProbabilities(opened, { ...flags, data, logProbabilities });
  const { model, corpus, bytesPerToken, rules: found } = await evaluateRules(opened, { ...flags, data });
  const rows = [...found].map(([rule, { loss, tokens, shares, deviation }]) => ({
    rule,
    loss,
    perplexity: model.run.likelihood ? Math.exp(loss) : null,
    bitsPerByte: bytesPerToken === null ? null : loss / Math.LN2 / bytesPerToken,
    tokens,
    shares,
    ...(deviation && { deviation }),
  }));
  const deviates = rows.some(({ deviation }) => deviation);
  const text = table(rows, [
    ["rule", ({ rule }) => (rule === "causal" || model.run.routed ? nameOf(rule) : "all tokens")],
    [unitOf(model.run), (r) => grouped(r.tokens)],
    ["loss", (r) => r.loss.toFixed(4)],
    bytesPerToken !== null && ["perplexity", (r) => r.perplexity?.toPrecision(4) ?? "-"],
    bytesPerToken !== null && ["bits/byte", (r) => r.bitsPerByte?.toFixed(4) ?? "-"],
    ["computed", (r) => meanOfShares(r.shares)],
    // Comparisons with f32 weights.
    deviates && ["KL to f32", ({ deviation }) => deviation?.divergence.toPrecision(3) ?? "-"],
    deviates && ["same token", ({ deviation }) => (deviation ? percent(deviation.sameToken, 1) : "-")],
    deviates && ["same choices", ({ deviation }) => (deviation ? meanOfShares(deviation.sameChoice) : "-")],
  ]);
  const rules = Object.fromEntries(rows.map(({ rule, ...rest }) => [rule, rest]));
  return printReport(flags, {
    json: { model: model.run.name, ...(corpus ?? { tokens: rows[0]?.tokens ?? 0, bytes: null }), rules },
    text,
  });
}
