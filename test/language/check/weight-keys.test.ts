import { describe, expect, it } from "vitest";
import { checked, codesOf, modelOf } from "./harness.js";
import { processorTime } from "../../processor-time.js";

const source = (
  names: string,
  members = "layers: [for i in 0..depth: Linear(4, 4)]\n  norm: RMSNorm(4)",
): string => `import { Linear, RMSNorm } from "std"
model M(depth: int = 2) {
  ${members}
  names {
    ${names}
  }
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}`;
const keys = (names: string, members?: string): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(modelOf(source(names, members)).weights.map((w) => [w.path, w.keys]));

describe("names", () => {
  it("map paths to keys, segment by segment; others keep their path", () => {
    expect(keys(`"layers.{i}.{p}" = "model.h.{i}.lin_{p}"`)).toEqual({
      "layers.0.weight": ["model.h.0.lin_weight"],
      "layers.0.bias": ["model.h.0.lin_bias"],
      "layers.1.weight": ["model.h.1.lin_weight"],
      "layers.1.bias": ["model.h.1.lin_bias"],
      "norm.weight": ["norm.weight"],
    });
  });

  it("accept several keys for one weight, and pass over what is ignored", () => {
    const model = modelOf(source(`"norm.weight" = "a" or "b"\n    ignore "x.{i}.y"`));
    expect(model.weights.find((w) => w.path === "norm.weight")?.keys).toEqual(["a", "b"]);
    expect(model.ignore).toEqual(["x.{i}.y"]);
  });

  it("take other characters of a pattern as they are", () => {
    expect(codesOf(source(`"norm.weigh." = "a"`))).toEqual(["unknown-path"]);
    expect(codesOf(source(`"norm.(weight)" = "a"`))).toEqual(["unknown-path"]);
    expect(keys(`"norm.weight" = "$&{"`)["norm.weight"]).toEqual(["$&{"]);
  });

  it("refuse rules that overlap, miss, or leave a placeholder unbound", () => {
    expect(codesOf(source(`"layers.{i}.weight" = "a.{i}"\n    "layers.0.{p}" = "b.{p}"`))).toContain("ambiguous-names");
    expect(codesOf(source(`"layers.weight" = "a"`))).toEqual(["unknown-path"]);
    expect(codesOf(source(`"norm.{p}" = "a.{q}"`))).toEqual(["unbound-placeholder"]);
  });

  it("take parts of a segment too, the first as little as it can", () => {
    const members = "ab_cd_ef: Linear(4, 4, bias: false)";
    expect(keys(`"ab_{x}.weight" = "{x}"`, members)["ab_cd_ef.weight"]).toEqual(["cd_ef"]);
    expect(keys(`"{x}_{y}.weight" = "{x} {y}"`, members)["ab_cd_ef.weight"]).toEqual(["ab cd_ef"]);
    expect(keys(`"{x}{y}_ef.{z}" = "{x} {y} {z}"`, members)["ab_cd_ef.weight"]).toEqual(["a b_cd weight"]);
    expect(codesOf(source(`"{x}_{x}_ef.weight" = "{x}"`, members))).toEqual(["unknown-path"]);
    expect(codesOf(source(`"ab_cd_ef{x}.weight" = "{x}"`, members))).toEqual(["unknown-path"]);
  });

  it("are matched in linear time, whatever the pattern", () => {
    const members = `${"l".repeat(200)}: Linear(4, 4)`;
    const pattern = Array.from({ length: 30 }, (_, i) => `{a${i}}`).join("l");
    const seconds = processorTime();
    expect(codesOf(source(`"${pattern}.nope" = "b"\n    "${pattern}k.weight" = "c"`, members))).toEqual([
      "unknown-path",
      "unknown-path",
    ]);
    expect(seconds()).toBeLessThan(2);
  });

  it("are suggested as patterns", () => {
    const hint = (names: string): string | null | undefined => checked(source(names)).diagnostics[0]?.hint;
    expect(hint(`"layers.{n}.wieght" = "{n}"`)).toBe("did you mean `layers.{n}.weight`?");
    expect(hint(`"layers.1.wieght" = "a"`)).toBe("did you mean `layers.1.weight`?");
  });

  it("allow rules for a list that is empty as the parameters stand", () => {
    expect(codesOf(source(`"layers.{i}.{p}" = "h.{i}.{p}"`), { set: { depth: "0" } })).toEqual([]);
  });

  it("refuse two weights with one key, but for further keys of one", () => {
    const members = "a: Linear(4, 4, bias: false)\n  b: Linear(4, 4, bias: false)";
    expect(codesOf(source(`"a.weight" = "w"\n    "b.weight" = "w"`, members))).toEqual(["duplicate-key"]);
    expect(codesOf(source(`"a.weight" = "b.weight"`, members))).toEqual(["duplicate-key"]);
    expect(codesOf(source(`"a.weight" = "w" or "v"\n    "b.weight" = "w"`, members))).toEqual(["duplicate-key"]);
    expect(codesOf(source(`"a.weight" = "w" or "v"\n    "b.weight" = "v"`, members))).toEqual([]);
  });
});
