// The load of experts in lines of text: shares, the largest, and those that no token chose.
import { listed, mixtureLoad } from "../../train/loads.js";
import { wrap } from "../terminal/units.js";

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
    ...chosen.slice(0, MIXTURES).flatMap((own) => {
      const { path, shares, largest, idle } = mixtureLoad(own.path, { chosen: own.loads, wished: null });
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
