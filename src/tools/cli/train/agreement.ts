// Measures the agreement of the two rules on one text: for each layer, how often the causal rule computes the tokens
// that top-k computes.
import { observedRoute } from "../../../runtime/program/observed.js";
import { chosenFrom, type CountRule } from "../../../ground/size/count-rules.js";
import { chosenTokens } from "../../train/batches.js";
import type { Rule } from "../../train/types.js";
import type { Observe } from "./evaluated-rule.js";

/** Axes and outputs of a program or of a graph. */
interface Routed {
  readonly axes: readonly {
    readonly name: string;
    readonly role: string;
    readonly count?: CountRule<unknown, unknown>;
  }[];
  readonly outputs: readonly (Parameters<typeof observedRoute>[0] & {
    readonly packing: { readonly axis: string } | null;
  })[];
}

/** Paths of observed routes that are chosen among all tokens, not among those of another route. */
export function routesOfTokens({ axes, outputs }: Routed): readonly string[] {
  const rule = (name: string | undefined) => axes.find((a) => a.name === name && a.role === "sequence")?.count;
  return outputs.flatMap((output) => {
    const path = observedRoute(output);
    const countRule = rule(output.packing?.axis);
    const parent = countRule ? chosenFrom(countRule) : null;
    const chosen = parent !== null && rule(parent)?.kind === "input";
    return chosen && path !== null ? [path] : [];
  });
}

export interface LayerAgreement {
  /** The call that chooses. */
  readonly path: string;
  /** Tokens that both compute or both skip, as a share of all. */
  readonly agrees: number;
  /** Of the tokens that top-k computes, the share that the causal rule computes too. */
  readonly recall: number;
  /** Shares of tokens that each computes. */
  readonly top: number;
  readonly causal: number;
}

/** Collects the choices of both rules over the same batches. */
export class Agreement {
  /** `paths`: routes chosen among all tokens, whose row indices identify tokens. */
  constructor(readonly paths: ReadonlySet<string>) {}

  readonly #chosen: Readonly<Record<Rule, Map<string, Uint8Array[]>>> = { "top-k": new Map(), causal: new Map() };

  readonly observe: Observe = (rule, results, batch) => {
    for (const [name, { data, shape }] of Object.entries(results)) {
      if (!name.endsWith(".index")) continue;
      const path = name.slice(0, -".index".length);
      if (!this.paths.has(path)) continue;
      const batches = this.#chosen[rule].get(path) ?? [];
      batches.push(chosenTokens(data, shape[1] ?? 0, results[`${path}.count`]!.data, batch));
      this.#chosen[rule].set(path, batches);
    }
  };

  /** The agreement of every such route that both rules observed. */
  layers(): readonly LayerAgreement[] {
    return [...this.#chosen["top-k"]].flatMap(([path, top]): LayerAgreement[] => {
      const causal = this.#chosen.causal.get(path);
      if (!causal) return [];
      let [tokens, same, both, byTop, byRule] = [0, 0, 0, 0, 0];
      for (const [i, a] of top.entries())
        for (const [at, x] of a.entries()) {
          const y = causal[i]![at]!;
          tokens++;
          same += Number(x === y);
          both += x & y;
          byTop += x;
          byRule += y;
        }
      return [
        {
          path,
          agrees: same / tokens,
          recall: byTop === 0 ? 1 : both / byTop,
          top: byTop / tokens,
          causal: byRule / tokens,
        },
      ];
    });
  }
}
