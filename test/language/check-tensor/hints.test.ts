// Messages about arguments name the argument, and hint at what was probably meant.
import { describe, expect, it } from "vitest";
import { tell } from "./harness.js";

const THREE = 'rearrange(x[..., 0:3], "b t (h d) -> b h t d", h: 3)';
const FOUR = 'rearrange(h, "b t h d -> b h t d")';

/** An expression, the beginning of its message, and a part of its hint. */
const cases: readonly (readonly [expr: string, message: string, hint: string])[] = [
  ["scan(x, fresh: tokens)", "`fresh` of `scan` needs bool, found u32[B, T]", "`fresh: tokens == separator`"],
  ["linear_attention(x, x, x, fresh: tokens)", "`fresh` of `linear_attention` needs bool", "tokens == separator"],
  ["attention(x, x, x, bias: s[:, None, :] > 0)", "`bias` of `attention` needs f32, found bool", "is a `mask`"],
  ["attention(x, x, x, bias: tokens[:, None, :])", "`bias` of `attention` needs f32, found u32", "`f32(x)`"],
  ["attention(x, x, x, mask: tokens[:, None, :])", "`mask` of `attention` needs bool", "doc[:, :, None] == doc[:,"],
  ["attention(x, x, x, mask: s[:, None, :])", "`mask` of `attention` needs bool, found f32", "are a `bias`"],
  ["attention(x, x, x, mask: s > 0)", "`mask` of `attention` needs a value for each pair", "`x[:, None, :]`"],
  ["attention(x, x, x, bias: s)", "`bias` of `attention` needs a value for each pair", "`x[:, :, None]`"],
  ["attention(x, x, x, mask: (s > 0)[:, None, None, None, :])", "`mask` of `attention` needs", "takes one away"],
  ["attention(x, x, x, cap: 0)", "`cap` of `attention` must be above 0, found 0", "leave `cap` out"],
  ["attention(x, x, x, cap: -3)", "`cap` of `attention` must be above 0, found -3", "above 0"],
  ["attention(tokens, x, x)", "`q` of `attention` needs f32 or f16", "`f32(x)`"],
  [`linear_attention(${THREE}, ${THREE}, ${FOUR})`, "4 heads of `v` cannot share 3 heads of `q`", "in `Mamba2`"],
  ["scan(x, log_decay: tokens)", "`log_decay` of `scan` needs f32", "`f32(x)`"],
  ["where(tokens, x, x)", "`condition` of `where` needs bool", "`x > 0`"],
  ["those(tokens).mask", "`mask` of `those` needs bool", "`x > 0`"],
  ["exp(tokens)", "`exp` needs f32 or f16", "`f32(x)`"],
  ["earlier(x, 0)", "`n` of `earlier` must be at least 1, found 0", "the row itself is `x`"],
  ["earlier(x, -1)", "`n` of `earlier` must be at least 1, found -1", "`later(x, 1)`"],
  ["later(x, 0)", "`n` of `later` must be at least 1, found 0", "`earlier(x, 1)`"],
  ["attention(x, x, x, window: -1)", "`window` of `attention` must be at least 0, found -1", "at least 0"],
  ["attention(x, x, x, window: 10 ^ 12)", "`window` of `attention` must be at most 2147483647", "at most"],
];

describe("messages about arguments", () => {
  for (const [expr, message, hint] of cases)
    it(expr, () => {
      const [found] = tell(expr).diagnostics;
      expect(found?.message.slice(0, message.length)).toBe(message);
      expect(found?.hint).toContain(hint);
    });
});
