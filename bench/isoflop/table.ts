// The results of the experiment as Markdown.
import { spreadOf, type Spread } from "../statistics.js";
import { milliseconds, table } from "../tables.js";
import { beside, compared, finalLoss, RULES, type Group, type Rule, type Verdict } from "./collect.js";
import type { StepTimes, TimesOf } from "./kept.js";
import { BATCH, CONTEXT, SEEDS, type ComparisonName, type VariantName } from "./plan.js";
import { modelOf } from "./times.js";
import { DATA, LEARNING_RATE, VALIDATION_WINDOWS } from "./run.js";

/** A comparison, and its groups. */
export interface Compared {
  readonly name: ComparisonName;
  readonly groups: readonly Group[];
}

/** Files of the figures. */
export const FIGURES: Readonly<Record<ComparisonName, string>> = {
  depths: "isoflop.svg",
  experts: "isoflop-experts.svg",
};

/** Text about a comparison, next to its figures. */
interface Told {
  readonly title: string;
  readonly paragraphs: (groups: readonly Group[]) => readonly string[];
  /** Pairs of variants, with the paper's statement about the loss of the first relative to the second. */
  readonly paper: readonly (readonly [VariantName, VariantName, string])[];
}

const TOLD: Readonly<Record<ComparisonName, Told>> = {
  depths: {
    title: "Mixture-of-Depths",
    paragraphs: () => [],
    paper: [
      ["b", "a", "at most the dense model's loss"],
      ["d", "b", "much higher"],
    ],
  },
  experts: {
    title: "Mixture-of-Depths-and-Experts",
    paragraphs: (groups) => [
      "Of (e) each network is a mixture of 8 experts of the dense network's size, of which a token takes the one " +
        "that its router scores best; the gate is that one's share of the softmax over all. Nothing is dropped. " +
        "Switch Transformers' loss of balance, times 0.01, spreads the tokens. One expert a token costs as much as " +
        "the dense network; number, gate and balance of the experts are chosen here, not taken from the paper.",
      "(f) and (g) are the paper's two kinds. *Staged*: a route as in (b) decides whether a token goes through a " +
        "layer, and inside it a router as in (e) which expert it takes. *Integrated*: among the experts of all " +
        "layers stand 6 that do nothing, under the same loss of balance; attention is never skipped. Equal loads " +
        "choose one of them in 6 cases of 14, 43%; (f) skips 44% of all networks. The ledger counts equal loads" +
        noOpsText(groups),
    ],
    paper: [
      ["e", "a", "lower"],
      ["f", "e", "lower"],
      ["g", "e", "lower"],
    ],
  },
};

/** A sentence about the choices in training, next to the ledger's assumption of equal loads. */
function noOpsText(groups: readonly Group[]): string {
  const shares = groups.flatMap((g) => g.results.flatMap((r) => r.noOps ?? []));
  if (shares.length === 0) return ".";
  const { low, high } = spreadOf(shares);
  return `; in training (g) chose a no-op in ${percent(low)} to ${percent(high)} of all cases.`;
}

export function experimentText(comparisons: readonly Compared[], tokensPerParameter: number, times: TimesOf): string {
  const sections = [
    "# Mixture-of-Depths at equal training operations",
    `Decoders of six layers over bytes, tied embedding, on the State of the Union addresses (${DATA}; the last ` +
      `5% held out, ${VALIDATION_WINDOWS} windows of ${CONTEXT} evaluated). AdamW, learning rate ` +
      `${LEARNING_RATE} with warm-up and cosine, ${BATCH} × ${CONTEXT} tokens a step.`,
    `For each size the dense model (a) sees ${tokensPerParameter} tokens for each parameter beside the ` +
      "embedding; the others train for as many steps as cost the same number of operations, counted by modc's " +
      "ledger on the graph of the step: forward, backward, predictors, routers and optimiser. More steps see more of " +
      "the text.",
    "*top-k* lets a layer look at the whole sequence to choose its tokens, as in training; *causal* is the " +
      "rule that generation uses, where each token says of itself whether it is computed: by the predictor (b, " +
      "c, f), by its random number (d). Choices of experts (e, g) look at one token under both.",
    `Each has ${SEEDS.length} seeds: the tables give their mean and the range. A difference counts where the ranges ` +
      "do not touch, else it is *not distinguishable*.",
    "*parameters* are those beside the embedding; *active* counts each by the share of tokens that read it. " +
      "*ms a step* is a median measured apart from the runs, all variants of a table in turns in one process.",
    ...comparisons.flatMap((comparison) => sectionOf(comparison, times[comparison.name] ?? null)),
  ];
  return `${sections.join("\n\n")}\n`;
}

function sectionOf({ name, groups }: Compared, times: StepTimes | null): readonly string[] {
  const { title, paragraphs, paper } = TOLD[name];
  const finished = groups.reduce((n, g) => n + g.results.length, 0);
  const planned = groups.length * SEEDS.length;
  return [
    `## ${title}`,
    ...paragraphs(groups),
    ...(finished === planned ? [] : [`**${finished} of ${planned} runs are finished.**`]),
    table(
      [
        "model",
        "parameters",
        "active",
        "MFLOP forward, top-k",
        "causal",
        "GFLOP a step",
        "steps",
        "M tokens",
        times === null ? "ms a step" : `ms a step, ${times.device}`,
        ...RULES.map((r) => `loss, ${r} (nats a byte)`),
        "against a, causal",
      ],
      groups.map(rowOf(groups, times)),
    ),
    `![Validation loss over training operations](${FIGURES[name]})`,
    "### Beside the paper",
    paperTable(groups, paper),
  ];
}

const rowOf =
  (groups: readonly Group[], times: StepTimes | null) =>
  (group: Group): readonly string[] => {
    const { costs, steps } = group;
    return [
      `(${costs.variant.name}) ${costs.variant.title}, ${costs.size.name} M`,
      ...[costs.parameters, costs.active].map((n) => `${(n / 1000).toFixed(0)} k`),
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
function stepTime(group: Group, groups: readonly Group[], times: StepTimes | null): string {
  const [own, dense] = [group, beside(groups, group, "a")].map((g) => times?.medians[modelOf(g.costs)]);
  if (own === undefined || dense === undefined) return "";
  return group.costs.variant.name === "a" ? milliseconds(own) : `${milliseconds(own)} (${(own / dense).toFixed(2)} ×)`;
}

function lossText(spread: Spread | null, { results }: Group, rule: Rule): string {
  if (!spread) return "";
  const mean = results.reduce((sum, r) => sum + r.validations.at(-1)!.loss[rule], 0) / results.length;
  return results.length < 2
    ? `${mean.toFixed(4)} (one seed)`
    : `${mean.toFixed(4)} (${spread.low.toFixed(4)} to ${spread.high.toFixed(4)})`;
}

const verdictText = (verdict: Verdict | null): string => verdict ?? "not yet";

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;

/** The results of the paper beside ours. */
function paperTable(groups: readonly Group[], claims: Told["paper"]): string {
  const rows = claims.flatMap(([x, y, paper]) =>
    groups
      .filter((g) => g.costs.variant.name === x)
      .map((group) => [
        `(${x}) against (${y}), ${group.costs.size.name} M`,
        paper,
        ...RULES.map((rule) => verdictText(compared(group, beside(groups, group, y), rule))),
      ]),
  );
  return table(["loss", "paper, at far larger sizes", ...RULES.map((r) => `here, ${r}`)], rows);
}
