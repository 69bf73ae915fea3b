// `modc eval`: loss, perplexity and bits per byte of a model on a text, under either rule.
import { evaluateRules, nameOf, type Found } from "./evaluation.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { table } from "../terminal/table.js";
import { out, outJson } from "../terminal/terminal.js";
import { grouped, percent } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";

export async function evaluate(file: string, flags: Flags<typeof trainingCommands.eval>): Promise<ExitCode> {
  const { data } = flags;
  if (data === undefined)
    throw new UserError("nothing says on which text: --data is missing", "a run's folder brings its own", EXIT.usage);
  report(await evaluateRules(file, { ...flags, data }), flags.json ?? false);
  return EXIT.fine;
}

function report({ model, corpus, rules: found }: Found, json: boolean): void {
  const bits = (loss: number): number => (loss / Math.LN2) * (corpus.tokens / corpus.bytes);
  if (json) {
    const rules = [...found].map(([rule, { loss, tokens, shares }]) => [
      rule,
      { loss, perplexity: Math.exp(loss), bitsPerByte: bits(loss), tokens, shares },
    ]);
    outJson({ model: model.run.name, tokens: corpus.tokens, bytes: corpus.bytes, rules: Object.fromEntries(rules) });
    return;
  }
  const rows = [...found].map(([rule, { loss, tokens, shares }]) => {
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
    ];
  });
  out(table(["rule", "tokens", "loss", "perplexity", "bits/byte", "computed"], rows));
}
