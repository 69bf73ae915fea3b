// Diagnostics of compile-time limits: recursion, and models with too many calls, values or steps.
import { code } from "../define.js";

export const limitCodes = {
  "endless-instances": code<{ readonly block: string; readonly limit: number }>({
    severity: "error",
    message: ({ block, limit }) => `\`${block}\` makes instances more than ${limit} levels deep`,
    hint: () => "guard the member with `if`, so that the block stops making itself",
    explain: `Making an instance makes its members. A block that contains itself, directly or through others,
never ends.`,
  }),
  "recursive-function": code<{ readonly name: string }>({
    severity: "error",
    message: ({ name }) => `\`${name}\` calls itself`,
    hint: () => "use `for` over a list",
    explain: `Functions are unrolled by the compiler, so one that calls itself, directly or through others,
would never end.`,
  }),
  "limit-exceeded": code<{
    readonly what: string;
    readonly limit: number;
    /** The most frequent item, and its number of occurrences. */
    readonly most?: { readonly name: string; readonly times: number } | null;
  }>({
    severity: "error",
    message: ({ what, limit, most }) =>
      `the model has more than ${limit} ${what}${most ? `, ${most.times} of them of \`${most.name}\`` : ""}`,
    hint: ({ most }) =>
      most
        ? "make the model smaller, or look for a number that is larger than meant; calling or making the next block " +
          "twice doubles the count at every level"
        : "make the model smaller, or look for a number that is larger than meant",
    explain: `Limits guard against input that would keep the compiler busy without end. They are far above any
known model.

  block Two(inner: block) {
    forward(x: f32[B, T, 64]) -> f32[B, T, 64] { inner(inner(x)) }
  }
  tower: Two(Two(Two(Two(Linear(64, 64)))))       // 16 calls of one Linear; 40 levels are 2 ^ 40`,
  }),
} as const;
