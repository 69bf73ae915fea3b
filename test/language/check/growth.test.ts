import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { soaking } from "../../soak.js";
import { modelOf } from "./harness.js";

const moby = readFileSync("examples/moby.mod", "utf8");

describe("depth", () => {
  it("makes checking grow in proportion, and a thousand layers are quick", { tags: "long" }, () => {
    const seconds = (depth: number): number => {
      const start = process.cpuUsage();
      const { model } = check(
        { file: "moby.mod", text: moby },
        { phase: "train", set: { depth: String(depth) }, read: () => null },
      );
      expect(model?.instances.filter((i) => /^layers\.\d+$/.test(i.path)).length).toBe(depth);
      return process.cpuUsage(start).user / 1e6;
    };
    seconds(100);
    const least = (depth: number): number => Math.min(seconds(depth), seconds(depth));
    const few = least(soaking ? 250 : 125);
    const many = soaking ? least(1000) : seconds(1000);
    // As many times the layers: as many times the time if linear, that squared if quadratic. The machine may be busy
    // with other things.
    expect(many).toBeLessThan(Math.max((soaking ? 10 : 25) * few, 1));
    expect(many).toBeLessThan(5);
  });
});

describe("the examples", () => {
  it("check in every phase they are made for", () => {
    const read = (name: string): string => readFileSync(`examples/${name}.mod`, "utf8");
    for (const phase of ["infer", "train", "generate"] as const) {
      expect(modelOf(read("moby"), { phase }).name).toBe("Moby");
      expect(modelOf(read("llama"), { phase, set: { depth: "2", vocab: "512" } }).name).toBe("Llama");
    }
    expect(modelOf(read("golden")).axes.map((a) => [a.name, a.role, a.bound])).toEqual([
      ["B", "batch", null],
      ["T", "sequence", 64],
      ["K", "sequence", 2],
    ]);
  });
});
