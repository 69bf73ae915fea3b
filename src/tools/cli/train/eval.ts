// `modc eval`: loss, perplexity and bits per byte of a model on a text, under either rule.
import { evaluateRules, nameOf, type Found } from "./evaluation.js";
import type { OpenedModel } from "../../../models/open.js";
import type { Deviation } from "../../train/deviation.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { table } from "../terminal/table.js";
import { out, outJson } from "../terminal/terminal.js";
import { grouped, percent } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";

export async function evaluate(opened: OpenedModel, flags: Flags<typeof trainingCommands.eval>): Promise<ExitCode> {
  const { data } = flags;
  if (data === undefined)
    throw new UserError("nothing says on which text: --data is missing", "a run's folder brings its own", EXIT.usage);
  report(await evaluateRules(opened, { ...flags, data }), flags.json ?? false);
  return EXIT.fine;
}

function report({ model, corpus, rules: found }: Found, json: boolean): void {
  const bits = (loss: number): number => (loss / Math.LN2) * (corpus.tokens / corpus.bytes);
  if (json) {
    const rules = [...found].map(([rule, { loss, tokens, shares, deviation }]) => [
      rule,
      { loss, perplexity: Math.exp(loss), bitsPerByte: bits(loss), tokens, shares, ...(deviation && { deviation }) },
    ]);
    outJson({ model: model.run.name, tokens: corpus.tokens, bytes: corpus.bytes, rules: Object.fromEntries(rules) });
    return;
  }
  const deviates = [...found.values()].some((f) => f.deviation !== null);
  const rows = [...found].map(([rule, { loss, tokens, shares, deviation }]) => {
    const computed = Object.values(shares);
    return [
      rule === "causal" || model.run.routed ? nameOf(rule) : "all tokens",
      grouped(tokens),
      loss.toFixed(4),
      Math.exp(loss).toPrecision(4),
      bits(loss).toFixed(4),
      computed.length === 0
        ? "-"
        : percent(
            computed.reduce((a, b) => a + b, 0),
            computed.length,
          ),
      ...(deviates ? deviationText(deviation) : []),
    ];
  });
  const columns = ["rule", "tokens", "loss", "perplexity", "bits/byte", "computed"];
  out(table([...columns, ...(deviates ? DEVIATION : [])], rows));
}

/** Columns that compare with f32 weights. */
const DEVIATION = ["KL to f32", "same token", "same choices"] as const;

function deviationText(deviation: Deviation | null): readonly string[] {
  if (deviation === null) return DEVIATION.map(() => "-");
  const { divergence, sameToken, sameChoice } = deviation;
  const choices = Object.values(sameChoice);
  const mean = choices.reduce((a, b) => a + b, 0);
  return [divergence.toPrecision(3), percent(sameToken, 1), choices.length === 0 ? "-" : percent(mean, choices.length)];
}
