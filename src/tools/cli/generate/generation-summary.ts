// The summary of a generation in a few lines: time, tokens of each layer, operations, memory of caches.
import type { Summary } from "../../../generation/generate/index.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { grouped, milliseconds, operations, percent, plural, wrap } from "../terminal/units.js";
import { listed, mixtureLoad } from "../../train/loads.js";

/** The summary in lines of at most `width` columns. */
export function summaryLines(summary: Summary, sequences: number, width: number): readonly string[] {
  const { promptTokens, generatedTokens, firstToken, compiling, generation, routes, cache, flops, experts, drafted } =
    summary;
  const [all, ...routed] = routes;
  const later = Math.max(0, generatedTokens - sequences);
  const reading = firstToken - compiling;
  // Short times are not printed: cached kernels also take a little time.
  const compiled =
    compiling >= Math.max(100, firstToken / 10) ? `${milliseconds(compiling)} ms of it compiling kernels, ` : "";
  const speed = [
    `first ${sequences === 1 ? "token" : "tokens"} after ${milliseconds(firstToken)} ms ` +
      `(${compiled}${plural(promptTokens, "token")} of prompt, ${rate(promptTokens, reading)})`,
    ...(later === 0 ? [] : [`then ${plural(later, "token")} ${atRate(later, generation)}`]),
  ];
  const computed = routed.map(({ path, tokens }) => `${path} ${percent(tokens, all!.tokens)}`);
  return [
    ...(generatedTokens === 0 ? [] : wrap("time    ", speed, ", ", width)),
    ...(computed.length === 0 || all!.tokens === 0 || generatedTokens === 0
      ? []
      : wrap(`layers  of ${plural(all!.tokens, "token")}: `, computed, ", ", width)),
    ...(generatedTokens === 0 ? [] : expertLines(experts ?? [], width)),
    ...(flops === null
      ? []
      : [
          `work    ${operations(flops.own)} a generated token, ${percent(flops.own, flops.dense)} of the ` +
            `${operations(flops.dense)} with nothing skipped`,
        ]),
    ...(drafted ? [`draft   ${plural(drafted.guessed, "token")} guessed, ${drafted.right} right`] : []),
    // A model without attention has no caches.
    ...(cache.dense === 0 && cache.allocated === 0
      ? []
      : [
          `cache   ${formatBytes(cache.used)}, ${percent(cache.used, cache.dense)} of the ` +
            `${formatBytes(cache.dense)} with nothing skipped; ${formatBytes(cache.allocated)} reserved`,
        ]),
  ];
}

/** `23.1 tokens/s` */
const rate = (tokens: number, ms: number): string => (ms > 0 ? `${short((1000 * tokens) / ms)} tokens/s` : "at once");
/** `at 23.1 tokens/s` */
export const atRate = (tokens: number, ms: number): string => (ms > 0 ? `at ${rate(tokens, ms)}` : "at once");
const short = (value: number): string => (value >= 100 ? grouped(Math.round(value)) : value.toPrecision(3));

/** How many tokens have each entry of a choice. */
export interface CountedChoice {
  readonly path: string;
  readonly loads: readonly number[];
}

/** `12%`; less than a hundredth is not 0. */
const briefly = (share: number): string => (share > 0 && share < 0.01 ? "<1%" : `${Math.round(100 * share)}%`);

/** Mixtures in lines of their own, and experts whose shares are listed one by one. */
const [MIXTURES, EXPERTS] = [12, 16];

/**
 * `experts layers.0.mlp.chosen: 12% 30% 8% 0%, …; 1 has 2.40 times the mean; nothing for 3`, a line for each choice.
 */
export function expertLines(choices: readonly CountedChoice[], width: number): readonly string[] {
  const chosen = choices.filter(({ loads }) => loads.some((n) => n > 0));
  const more = chosen.length - MIXTURES;
  return [
    ...chosen.slice(0, MIXTURES).flatMap((mixture) => {
      const { path, shares, largest, idle } = mixtureLoad(mixture.path, { chosen: mixture.loads, wished: null });
      const facts = [
        ...(shares.length <= EXPERTS ? [shares.map(briefly).join(" ")] : []),
        `${shares.indexOf(Math.max(...shares))} has ${largest.toFixed(2)} times the mean`,
        ...(idle.length === 0 ? [] : [`nothing for ${listed(idle)} of ${shares.length}`]),
      ];
      return wrap(`experts ${path}: `, facts, ", ", width);
    }),
    ...(more > 0 ? [`experts of ${more} more ${more === 1 ? "mixture" : "mixtures"}: see --json or --heatmap`] : []),
  ];
}
