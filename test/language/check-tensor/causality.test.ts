// Phase generate: what may look along a sequence, and what is exempt.
import { describe, expect, it } from "vitest";
import { pointed, tell, tellSource } from "./harness.js";

const refused: readonly (readonly [expr: string, points: string])[] = [
  ["mean(x, axis: 1)", "mean(x, axis: 1)"],
  ["sum(x)", "sum(x)"],
  ["max(s, axis: 1)", "max(s, axis: 1)"],
  ["argmax(s, axis: 1)", "argmax(s, axis: 1)"],
  ["softmax(x, axis: 1)", "softmax(x, axis: 1)"],
  ["x @ transpose(x)", "x @ transpose(x)"],
  ["transpose(x) @ x", "transpose(x) @ x"],
  ["x[:, -1]", "x[:, -1]"],
  ["x[:, 0]", "x[:, 0]"],
  ["x[:, 1:]", "x[:, 1:]"],
  ["x[:, :-1]", "x[:, :-1]"],
  ["concat([x, x], axis: 1)", "concat([x, x], axis: 1)"],
  ["attention(x, x, x)", "attention(x, x, x)"],
  ["attention(x, x, x, window: 3)", "attention(x, x, x, window: 3)"],
  ["received(x, x, causal: true)", "received(x, x, causal: true)"],
  ["later(x, 1)", "later(x, 1)"],
  ["scan(x, reverse: true)", "scan(x, reverse: true)"],
  ["x / T", "/"],
  ["f32(T)", "T"],
  ["cross_entropy(x, tokens)", "cross_entropy(x, tokens)"],
  ["above(s, 0).count", "count"],
  ["s[:, :, None] - s[:, None]", "s[:, :, None] - s[:, None]"],
];

const accepted: readonly string[] = [
  "attention(x, x, x, causal: true)",
  "attention(x, x, x, causal: true, window: 3)",
  "position(x)",
  "earlier(x, 2)",
  "linear_attention(x, x, x, forget: x, at: x)",
  "scan(x, log_decay: s[..., None], fresh: s > 0)",
  "mean(x, axis: -1)",
  "softmax(x)",
  "x @ w",
  "transpose(w) @ transpose(x)",
  "transpose(w)[0] @ transpose(x)",
  "x[..., 0]",
  "concat([x, x], axis: 2)",
  "rope(x, 10000.0)",
  "rope(x, angles: x[..., 0:4])",
  'rearrange(x, "b t (h d) -> b h t d", h: 2)',
  "transpose(x)",
  "put(x, above(s, 0), take(x, above(s, 0)) * 0.5)",
  "take(x, above(s, 0))",
  "above(s, 0).mask",
  "above(s, 0).index",
  "table[tokens]",
  "random_normal(like: s)",
  "dropout(x, 0.5)",
  "where(s > 0, s, 0)",
  "x * B",
  "sum(flat, axis: 1)",
  "mean(w)",
  "softmax(w @ transpose(w))",
  "stop_gradient(x)",
  "straight(s > 0, s)",
  "zeros(like: x)",
  "zeros(like: sum(x, axis: 2))",
  "zeros(like: sum(x, axis: 1))",
  "take(x, those(not above(s, 0).mask))",
  "put(x, those(s > 0 or position(x) < 2), take(x, those(s > 0)) * 0.5)",
  "attention(take(x, above(s, 0)), x, x, causal: true)",
];

describe("phase generate", () => {
  it.each(refused)("refuses %s", (expr, points) => {
    const outcome = tell(expr, { phase: "generate" });
    expect(outcome.told).toBe("non-causal-op");
    expect(pointed(outcome)).toBe(points);
    expect(tell(expr).diagnostics).toEqual([]);
  });

  it.each(accepted.filter((e) => !e.startsWith("put")))("accepts %s", (expr) =>
    expect(tell(expr, { phase: "generate" }).diagnostics).toEqual([]),
  );

  it("lets `above` choose, and refuses `top` at its span", () => {
    expect(tell("put(x, r, tanh(take(x, r)))", { phase: "generate", before: "r = above(s, 0)" }).diagnostics).toEqual(
      [],
    );
    const outcome = tell("put(x, r, tanh(take(x, r)))", { phase: "generate", before: "r = top(s, 3)" });
    expect(outcome.told).toBe("non-causal-choice");
    expect(pointed(outcome)).toBe("top(s, 3)");
  });

  it("says what one token cannot see where a slice meets the sequence", () => {
    const [found] = tell("x + x[:, 0:1]", { phase: "generate" }).diagnostics;
    expect(found?.code).toBe("shape-mismatch");
    expect(found?.hint).toMatch(/which no token can see in phase generate/);
    expect(tell("x + x[:, 0:1]").diagnostics[0]?.hint).toMatch(/the tokens match no other axis/);
  });

  it("exempts losses, and what only they read", () => {
    const source = (loss: string): string =>
      `model M() { forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] { ${loss}\n x * 2 } }`;
    expect(tellSource(source("loss a = mean(softmax(x, axis: 1))"), "generate").diagnostics).toEqual([]);
    expect(tellSource(source("loss a = bce(x[..., 0], top(x[..., 0], 2).mask)"), "generate").diagnostics).toEqual([]);
  });

  it("judges an objective by what its calls compute, not by what it makes of it", async () => {
    const { check } = await import("../../../src/language/check/check.js");
    const source = (body: string): string => `model M() {
      weight table: f32[10, 8]
      forward(tokens: u32[B, T <= 64]) -> f32[B, T, 10] { x = table[tokens]\n ${body}\n x @ transpose(table) }
      objective(tokens: u32[B, T <= 64]) { y = forward(tokens)\n loss next = mean(y[:, :-1]) + cross_entropy(y, tokens) } }`;
    const enter = (body: string): readonly string[] =>
      check(
        { file: "t.mod", text: source(body) },
        { phase: "generate", entry: "objective", read: () => null },
      ).diagnostics.map((d) => d.code);
    expect(enter("")).toEqual([]);
    expect(enter("x = x + attention(x, x, x)")).toEqual(["non-causal-op"]);
    expect(enter("r = top(x[..., 0], 2)\n x = put(x, r, tanh(take(x, r)))")).toEqual(["non-causal-choice"]);
    expect(enter("loss a = mean(x, axis: [0, 1, 2])")).toEqual([]);
  });

  const found = (body: string): ReturnType<typeof tellSource>["diagnostics"] => {
    const inputs = "source: f32[B, S <= 32, 8], image: f32[B, 6, 8], tokens: u32[B, T <= 64]";
    const text = `model M() {
      weight table: f32[10, 8]
      forward(${inputs}) -> f32[B, T, 10] { x = table[tokens]\n ${body}\n x @ transpose(table) } }`;
    return tellSource(text, "generate").diagnostics;
  };
  const beside = (body: string): readonly string[] => found(body).map((d) => d.code);

  it.each([
    "m = source + mean(source, axis: 1)[:, None] * f32(S)[:, None, None]\n x = x + attention(x, m, m)",
    "m = source + attention(source, source, source)\n x = x + mean(m, axis: 1)[:, None]",
    "m = take(source, top(source[..., 0], ceil(S / 2)))\n x = x + attention(x, m, m, weight: softmax(m[..., 0]))",
    "m = concat([source[:, 1:], sequence(image)[:, ::2]], axis: 1)\n x = x + attention(x, m, m)",
    "m = source[:, -1]\n x = x + m[:, None] + rows(source, tokens)",
    "m = received(source, source)\n x = x + sum(m, axis: 1)[:, None, None]",
  ])("lets values of given inputs alone do anything: %s", (body) => expect(beside(body)).toEqual([]));

  it.each([
    "x = x + attention(x, x, x)",
    "x = x + mean(x, axis: 1)[:, None]",
    "x = x + rows(x, tokens)",
    "x = x + x[:, ::2][:, 0][:, None]",
    "m = attention(source, x, x)\n x = x + attention(x, m, m)",
    "m = source + mean(x, axis: 1)[:, None]\n x = x + attention(x, m, m)",
  ])("refuses what reads tokens to come: %s", (body) =>
    expect(new Set(beside(body))).toEqual(new Set(["non-causal-op"])),
  );

  it("hints at `causal: true`, and names the growing value that a given one reads", () => {
    const told = (body: string): unknown => found(body).map(({ hint, notes }) => [hint, ...notes.map((n) => n.text)]);
    expect(told("x = x + attention(x, x, x)")).toEqual([["add `causal: true`"]]);
    const same = "position(x)[:, :, None] == position(x)[:, None]";
    expect(told(`x = x + attention(x, x, x, mask: ${same})`)).toEqual([
      ["add `causal: true`; the mask then narrows it"],
    ]);
    expect(told("m = attention(source, x, x)\n x = x + attention(x, m, m)")).toEqual([
      ["compute values along a given axis from given inputs alone", "T grows with the text, and S is given before it"],
    ]);
  });

  it("hints at the word that reads earlier tokens, and at pairs element by element", () => {
    const hint = (body: string): string | null | undefined => found(body)[0]?.hint;
    expect(hint("x = x + later(x, 1)")).toBe("use `earlier(x, n)`, which reads the tokens before");
    expect(hint("x = x + scan(x, reverse: true)")).toBe(
      "leave out `reverse: true`: a scan from the beginning reads earlier tokens",
    );
    const pairs = "make a mask or bias element by element, as `a[:, :, None] - b[:, None]`, from a value of each token";
    expect(hint("x = x + attention(x, x, x, causal: true, bias: x @ transpose(x))")).toBe(pairs);
    expect(hint("x = x + attention(x, x, x, causal: true, mask: 2 * (x @ transpose(x)) > 0)")).toBe(pairs);
    const earlier =
      "treat each token by itself, or read earlier ones by `earlier`, `scan`, `linear_attention` or " +
      "`attention(…, causal: true)`";
    expect(hint("x = x + (x @ transpose(x)) @ x")).toBe(earlier);
    expect(hint("x = x + mean(x, axis: 1)[:, None]")).toBe(earlier);
  });

  it("refuses a choice of given tokens by the length of the text", () => {
    expect(beside("m = take(source, top(source[..., 0], ceil(T / 2)))\n x = x + attention(x, m, m)")).toContain(
      "non-causal-choice",
    );
  });

  it("notes an input of which nothing gives the values of tokens to come", async () => {
    const { review } = await import("../../../src/language/check/review.js");
    const notes = (inputs: string, body: string): readonly string[] => {
      const text = `model M() {
        weight table: f32[10, 8]
        forward(${inputs}, tokens: u32[B, T <= 64]) -> f32[B, T, 10] { x = table[tokens]\n ${body}\n x @ transpose(table) } }`;
      const steps = review({ file: "t.mod", text }, { read: () => null });
      for (let step = steps.next(); ; step = steps.next())
        if (step.done) return step.value.diagnostics.map(({ code, message }) => `${code}: ${message}`);
    };
    expect(notes("memory: f32[B, S, 8]", "x = x + attention(x, memory, memory)")).toEqual([]);
    expect(
      notes("kind: u32[B, T], memory: f32[B, S, 8]", "x = x * f32(kind)[..., None] + mean(memory, axis: 1)[:, None]"),
    ).toEqual([
      "cannot-generate: cannot generate: the input `kind` has a value for each token, and nothing gives it for tokens to come",
    ]);
  });
});
