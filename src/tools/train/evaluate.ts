// Evaluates a program over batches of text: its mean loss, and the shares of tokens that its routes choose.
import type { Results, Session } from "../../runtime/index.js";
import { lengthsIn, shaped, sumOf, tokensBefore } from "./step-values.js";
import { tokensOf, weightOf, type Batch } from "./types.js";

export interface Evaluated {
  /** Mean over the batches, by their weights, of the sum of `losses`, in nats. */
  readonly loss: number;
  readonly tokens: number;
  /** For each observed route, the share of tokens that it chose. */
  readonly shares: Readonly<Record<string, number>>;
}

/** `losses`: names of outputs, whose sum is the loss. `routes`: names of observed routes. */
export async function evaluateText(
  session: Session,
  { losses, routes }: { readonly losses: readonly string[]; readonly routes: readonly string[] },
  batches: AsyncIterable<Batch>,
  options: {
    readonly signal?: AbortSignal;
    readonly onBatch?: (tokens: number) => void;
    /** Names of the program's inputs. Default: all inputs of the batches. */
    readonly inputs?: ReadonlySet<string>;
    /** Called with the results and observed routes of each batch. */
    readonly onResults?: (results: Results, batch: Batch) => void;
  } = {},
): Promise<Evaluated> {
  const [chosen, all] = [new Map(routes.map((path) => [path, 0])), new Map(routes.map((path) => [path, 0]))];
  let [sum, weight, tokens] = [0, 0, 0];
  for await (const batch of batches) {
    options.signal?.throwIfAborted();
    const given = Object.fromEntries(
      Object.entries(shaped(batch, session.program)).filter(([name]) => options.inputs?.has(name) ?? true),
    );
    const results = await session.run(given, { observe: routes, ...lengthsIn(batch) });
    const own = weightOf(batch);
    if (own > 0) for (const name of losses) sum += Number(results[name]!.data[0]) * own;
    weight += own;
    for (const path of routes) {
      chosen.set(path, chosen.get(path)! + sumOf(results[`${path}.count`]!.data));
      all.set(path, all.get(path)! + tokensBefore(batch, session.program, path));
    }
    options.onResults?.(results, batch);
    tokens += tokensOf(batch);
    options.onBatch?.(tokens);
  }
  return {
    loss: weight === 0 ? 0 : sum / weight,
    tokens,
    shares: Object.fromEntries([...chosen].map(([path, n]) => [path, n === 0 ? 0 : n / all.get(path)!])),
  };
}
