// Names that options give for layers and weights.
import { describe, expect, it } from "vitest";
import { namePatterns, unmatched, weightHint, weightPatterns } from "../../../src/tools/train/patterns.js";

const PATHS = [
  "embed.table",
  "layers.1.router.weight",
  "layers.1.guess.up.bias",
  "layers.1.inner.attn.q.weight",
  "layers.11.router.weight",
];
const chosen = (text: string): readonly string[] =>
  PATHS.filter((path) => weightPatterns(text).some((p) => p.test(path)));

describe("patterns of weights", () => {
  it("match whole paths, or any run of their segments", () => {
    expect(chosen("router,guess")).toEqual([PATHS[1], PATHS[2], PATHS[4]]);
    expect(chosen("layers.1")).toEqual([PATHS[1], PATHS[2], PATHS[3]]);
    expect(chosen("embed.table")).toEqual([PATHS[0]]);
    expect(chosen("attn.q")).toEqual([PATHS[3]]);
    expect(chosen("route")).toEqual([]);
    expect(chosen("*.bias")).toEqual([PATHS[2]]);
    expect(chosen("ayers.1, able")).toEqual([]);
    expect(chosen("{guess,attn}.{up,q}, embed")).toEqual([PATHS[0], PATHS[2], PATHS[3]]);
    expect(chosen("layers.{1,11}.router")).toEqual([PATHS[1], PATHS[4]]);
  });

  it("name the first that is none; a dot is a dot", () => {
    expect(unmatched(weightPatterns("router, gues"), PATHS)).toBe("gues");
    expect(unmatched(weightPatterns("layers.*.router"), PATHS)).toBeNull();
    expect(chosen("embedXtable")).toEqual([]);
  });

  it("say what may be meant: a name that is near, else the routers, else the weights", () => {
    expect(weightHint("routr", PATHS)).toBe("did you mean router?");
    expect(weightHint("layers.1.routr.weight", PATHS)).toBe("did you mean layers.1.router.weight?");
    expect(weightHint("gate", PATHS)).toBe("its routers are layers.1.router, layers.11.router");
    expect(weightHint("gate", ["embed.table", "head.weight"])).toBe("the weights are embed.table, head.weight");
    expect(weightHint("gate", ["router.weight"])).toBe("its router is router");
  });

  it("those of layers match whole names only", () => {
    expect(namePatterns("layers.1").some((p) => p.test("layers.1.inner"))).toBe(false);
    expect(namePatterns("layers.*").some((p) => p.test("layers.1.inner"))).toBe(true);
  });
});
