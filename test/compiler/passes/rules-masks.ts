// The cases of rewrite rules for routes by masks.
import type { RuleCase } from "./rules.js";

/** A route by the mask of a comparison of a score `%v` with a number `%d`. */
const comparedAt = (comparison: string, half = 0.5): string => `%d = constant {"value":2,"dtype":"f32","shape":[]}()
%g = constant {"value":${half},"dtype":"f32","shape":[]}()
%1 = sum {"axes":[1],"keep":false}(%x)
%v = neg(%1)
%2 = ${comparison}
%3 = cast {"dtype":"f32"}(%2)
%e = above {"axis":"A"}(%3, %g, %s)
%4 = pick {"result":1}(%e)
starts A = %4
%5 = counts(%4)`;

/** Attention whose keys weigh what these lines make of the mask `%r` of the route. */
const weighedBy = (weights: string): string => `%r = route_mask {"axis":"T"}(%i, %s)
%1 = reshape {"shape":[1,"rows(T)",4]}(%x)
%2 = positions {"axis":"T"}(%s)
${weights}
%9 = attention {"causal":true,"window":0,"scale":0.5}(%1, %1, %1, %s, %s, %2, %2, %w)`;

export const maskRules: readonly RuleCase[] = [
  {
    rule: "keys-of-mask",
    pass: "skip-branch",
    fires: weighedBy('%w = cast {"dtype":"f32"}(%r)'),
    spares: [
      weighedBy('%3 = not(%r)\n%w = cast {"dtype":"f32"}(%3)'),
      weighedBy('%3 = cast {"dtype":"f32"}(%r)\n%w = add(%3, %3)'),
    ],
  },
  {
    rule: "above-of-comparison",
    fires: comparedAt("lt(%d, %v)"),
    spares: [comparedAt("ge(%v, %d)"), comparedAt("lt(%v, %d)"), comparedAt("gt(%v, %d)", 0.25)],
  },
  {
    rule: "starts-of-above-on-host",
    fires: `%r = route_mask {"axis":"T"}(%i, %s)
%1 = not(%r)
%2 = cast {"dtype":"f32"}(%1)
%c = constant {"value":0.5,"dtype":"f32","shape":[]}()
%e = above {"axis":"R"}(%2, %c, %s)
%3 = pick {"result":1}(%e)
starts R = %3
%4 = counts(%3)`,
    spares: [comparedAt("gt(%v, %d)")],
  },
];
