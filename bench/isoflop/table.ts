// The results of the experiment as Markdown.
import type { Spread } from "../statistics.js";
import { milliseconds, table } from "../tables.js";
import { beside, compared, finalLoss, RULES, type Group, type Rule, type Verdict } from "./collect.js";
import type { StepTimes } from "./kept.js";
import { BATCH, CONTEXT, SEEDS, type VariantName } from "./plan.js";
import { modelOf } from "./times.js";
import { DATA, LEARNING_RATE, VALIDATION_WINDOWS } from "./run.js";

export function experimentText(groups: readonly Group[], tokensPerParameter: number, times: StepTimes | null): string {
  const finished = groups.reduce((n, g) => n + g.results.length, 0);
  const planned = groups.length * SEEDS.length;
  const sections = [
    "# Mixture-of-Depths at equal training operations",
    [
      `Decoders of six layers over bytes, tied embedding, on the State of the Union addresses (${DATA}; the last ` +
        `5% held out, ${VALIDATION_WINDOWS} windows of ${CONTEXT} evaluated). AdamW, learning rate ` +
        `${LEARNING_RATE} with warm-up and cosine, ${BATCH} × ${CONTEXT} tokens a step.`,
      `For each size the dense model (a) sees ${tokensPerParameter} tokens for each parameter beside the ` +
        "embedding; the others train for as many steps as cost the same number of operations, counted by modc's " +
        "ledger on the graph of the step: forward, backward, predictors and optimiser. More steps see more of " +
        "the text.",
      "*top-k* lets a layer look at the whole sequence to choose its tokens, as in training; *causal* is the " +
        "rule that generation uses, where each token says of itself whether it is computed: by the predictor (b, " +
        "c), by its random number (d).",
      (finished === planned
        ? `Each has ${SEEDS.length} seeds`
        : `**${finished} of ${planned} runs are finished**; each is to have ${SEEDS.length} seeds`) +
        ": " +
        "the table gives their mean and the range. A difference counts where the ranges do not touch, else it is " +
        "*not distinguishable*.",
      ...(times === null
        ? []
        : [
            "*ms a step* is a median measured apart from the runs, all variants in turns in one process, on " +
              `${times.device}.`,
          ]),
    ].join("\n\n"),
    table(
      [
        "model",
        "parameters",
        "MFLOP forward, top-k",
        "causal",
        "GFLOP a step",
        "steps",
        "M tokens",
        "ms a step",
        ...RULES.map((r) => `loss, ${r} (nats a byte)`),
        "against a, causal",
      ],
      groups.map(rowOf(groups, times)),
    ),
    ...paperSection(groups),
  ];
  return `${sections.join("\n\n")}\n`;
}

const rowOf =
  (groups: readonly Group[], times: StepTimes | null) =>
  (group: Group): readonly string[] => {
    const { costs, steps } = group;
    return [
      `(${costs.variant.name}) ${costs.variant.title}, ${costs.size.name} M`,
      (costs.parameters / 1000).toFixed(0) + " k",
      (costs.forward["top-k"] / 1e6).toFixed(1),
      (costs.forward.causal / 1e6).toFixed(1),
      (costs.step / 1e9).toFixed(2),
      String(steps),
      ((steps * BATCH * CONTEXT) / 1e6).toFixed(1),
      stepTime(group, groups, times),
      ...RULES.map((rule) => lossText(finalLoss(group, rule), group, rule)),
      costs.variant.name === "a" ? "" : verdictText(compared(group, beside(groups, group, "a"), "causal")),
    ];
  };

/** With its ratio to the dense model's. */
function stepTime({ costs }: Group, groups: readonly Group[], times: StepTimes | null): string {
  const [own, dense] = [costs, beside(groups, { costs } as Group, "a").costs].map((c) => times?.medians[modelOf(c)]);
  if (own === undefined || dense === undefined) return "";
  return costs.variant.name === "a" ? milliseconds(own) : `${milliseconds(own)} (${(own / dense).toFixed(2)} ×)`;
}

function lossText(spread: Spread | null, { results }: Group, rule: Rule): string {
  if (!spread) return "";
  const mean = results.reduce((sum, r) => sum + r.validations.at(-1)!.loss[rule], 0) / results.length;
  return results.length < 2
    ? `${mean.toFixed(4)} (one seed)`
    : `${mean.toFixed(4)} (${spread.low.toFixed(4)} to ${spread.high.toFixed(4)})`;
}

const verdictText = (verdict: Verdict | null): string => verdict ?? "not yet";

/** The results of the paper beside ours. */
function paperSection(groups: readonly Group[]): readonly string[] {
  const claims: readonly (readonly [VariantName, VariantName, string])[] = [
    ["b", "a", "at most the dense model's loss"],
    ["d", "b", "much higher"],
  ];
  const sizes = [...new Set(groups.map((g) => g.costs.size.name))];
  const rows = claims.flatMap(([x, y, paper]) =>
    sizes.map((size) => {
      const of = (name: VariantName): Group =>
        groups.find((g) => g.costs.size.name === size && g.costs.variant.name === name)!;
      return [
        `(${x}) against (${y}), ${size} M`,
        paper,
        ...RULES.map((rule) => verdictText(compared(of(x), of(y), rule))),
      ];
    }),
  );
  return [
    "## Beside the paper",
    table(["loss", "paper, at far larger sizes", ...RULES.map((r) => `here, ${r}`)], rows),
  ];
}
