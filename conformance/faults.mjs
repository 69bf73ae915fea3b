// A plain Mixture-of-Depths layer, and the same with each of the faults that public code has, but those that only
// gradients show.
import { FAULTS } from "./suite.mjs";

/** Faults that show in gradients alone. */
export const UNSEEN = ["detached-gate", "predictor-disturbs"];
export const SEEN = Object.keys(FAULTS).filter((fault) => !UNSEEN.includes(fault));

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const GATES = { raw: (score) => score, sigmoid, identity: (score) => 1 + 0.2 * Math.tanh(score) };
const range = (length) => Array.from({ length }, (_, i) => i);

/** A layer with these of faults.json; without any, as the laws have it. */
export function layer(...faults) {
  const has = (...some) => some.some((fault) => faults.includes(fault));
  const lengthOf = (given, b) => (has("padding-chosen") ? given.x[b].length : given.length(b));

  function count(tokens, [numerator, denominator]) {
    if (has("rounded-down")) return tokens === 0 ? 0 : Math.max(1, Math.floor((numerator * tokens) / denominator));
    if (has("floored")) return Math.floor((numerator * tokens) / denominator);
    if (has("rounded")) return tokens === 0 ? 0 : Math.max(1, Math.floor((numerator * tokens) / denominator + 0.5));
    return Math.ceil((numerator * tokens) / denominator);
  }

  /** Tokens by their scores, the best first. */
  function order(scores) {
    const worst = has("nan-first") ? Infinity : -Infinity;
    const known = scores.map((score) => (Number.isNaN(score) ? worst : score));
    const ties = has("later-tie") ? -1 : 1;
    // Of two infinite ones the difference is NaN.
    return range(scores.length).sort((i, j) => (known[i] === known[j] ? ties * (i - j) : known[j] - known[i]));
  }

  function best(scores, k) {
    let index = order(scores).slice(0, k);
    if (has("dropped-kth-token")) index = index.filter((i) => scores[i] > scores[index.at(-1)]);
    return has("score-order") ? index : index.sort((i, j) => i - j);
  }

  /** The indices of the best k of each sequence. */
  function chosenOf(given, scores) {
    const lengths = scores.map((_, b) => lengthOf(given, b));
    const counts = lengths.map((tokens) => count(tokens, given.capacity));
    if (!has("batch-wide")) return scores.map((row, b) => best(row.slice(0, lengths[b]), counts[b]));
    const all = scores.flatMap((row, b) => row.slice(0, lengths[b]).map((score, t) => ({ score, b, t })));
    const passed = order(all.map(({ score }) => score)).slice(
      0,
      counts.reduce((a, b) => a + b, 0),
    );
    return scores.map((_, b) => passed.flatMap((i) => (all[i].b === b ? [all[i].t] : [])).sort((i, j) => i - j));
  }

  /** The gates of the chosen tokens. */
  function gates(scores, gate) {
    if (has("no-gate")) return scores.map(() => 1);
    if (!has("softmax-gate")) return scores.map(GATES[gate]);
    const largest = Math.max(...scores);
    const powers = scores.map((score) => Math.exp(score - largest));
    const whole = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / whole);
  }

  const added = (x, update, gate) =>
    x.map((value, d) => value + (has("doubled-residual") ? value + update[d] : update[d]) * gate);

  const scoresOf = (given) => given.x.map((tokens) => tokens.map((x) => dot(given.router, x)));

  function put(given, scores, chosen) {
    const y = given.x.map((tokens, b) => {
      const index = chosen[b];
      const passing = tokens.map((x, t) =>
        has("skipped-gated") ? x.map((value) => value * gates([scores[b][t]], given.gate)[0]) : x,
      );
      const updates = has("attends-to-skipped")
        ? index.map((i) => given.inner.run(tokens, range(tokens.length))[i])
        : given.inner.run(
            index.map((i) => tokens[i]),
            has("compacted-positions") ? range(index.length) : index,
          );
      const own = gates(
        index.map((i) => scores[b][i]),
        given.gate,
      );
      index.forEach((i, n) => (passing[i] = added(tokens[i], updates[n], own[n])));
      return passing;
    });
    return { y, chosen };
  }

  return {
    train: (given) => {
      const scores = scoresOf(given);
      const chosen = chosenOf(given, scores);
      const losses = given.x.flatMap((tokens, b) =>
        tokens.slice(0, lengthOf(given, b)).map((x, t) => {
          const likely = given.predictor(x);
          return Math.max(likely, 0) - (chosen[b].includes(t) ? likely : 0) + Math.log1p(Math.exp(-Math.abs(likely)));
        }),
      );
      return { ...put(given, scores, chosen), predictorLoss: losses.reduce((a, b) => a + b, 0) / losses.length };
    },

    generate: (given) => {
      const scores = scoresOf(given);
      if (has("leaking-validation")) return put(given, scores, chosenOf(given, scores));
      const passes = has("dense-decoding") ? () => true : (x) => given.predictor(x) > 0;
      return put(
        given,
        scores,
        given.x.map((tokens) => tokens.flatMap((x, t) => (passes(x) ? [t] : []))),
      );
    },

    decode: (given) => {
      const scores = scoresOf(given);
      const top = has("leaking-validation") ? chosenOf(given, scores) : null;
      const cached = [];
      const y = given.x.map((tokens, b) => {
        const cache = given.inner.cache();
        const read = tokens.map((x, t) => {
          const own = top ? top[b].includes(t) : given.predictor(x) > 0;
          const passes = own || has("dense-decoding");
          const [gate] = gates([scores[b][t]], given.gate);
          if (!passes && has("skipped-gated")) return x.map((value) => value * gate);
          if (!passes && !has("keys-of-all", "attends-to-skipped")) return x;
          const renumbered = has("cached-positions", "compacted-positions");
          const update = given.inner.step(x, renumbered ? cache.length : t, cache);
          return passes ? added(x, update, gate) : x;
        });
        cached.push(cache.length);
        return read;
      });
      return { y, cached };
    },
  };
}
