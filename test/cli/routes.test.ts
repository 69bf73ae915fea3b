// The picture of the routes, and the verdict on a run.
import { describe, expect, it } from "vitest";
import { drawRoutes, observedRoutes, strip } from "../../src/cli/run/routes.js";
import { printableBytes, printablePieces } from "../../src/cli/run/text-reader.js";
import { showValue } from "../../src/cli/terminal/show.js";
import { modc, temporaryFolder } from "./spawn.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const route = (path: string, chosen: readonly number[], absolute = true): Parameters<typeof drawRoutes>[0][number] => ({
  path,
  axis: path,
  parent: "T",
  chosen: [chosen],
  absolute,
});

describe("strips", () => {
  it("show each token once", () => expect(strip([0, 3], 5)).toBe("█··█·"));

  it("stand below the text byte for byte, in pieces as wide as the terminal", () => {
    expect(drawRoutes([route("a", [0, 17]), route("bc", [1])], 0, 20, "abcdefghijklmnopqrst", 24)).toBe(
      [
        "         abcdefghijklmnop",
        "a 2/20   █···············",
        "bc 1/20  ·█··············",
        "",
        "         qrst",
        "         ·█··",
        "         ····",
      ].join("\n"),
    );
  });

  it("what does not print takes the room of its bytes", () => {
    expect(printableBytes(bytes("a\nb\u2014é\u0007z"))).toBe("a b—  é  z");
    expect(printableBytes(Uint8Array.of(0xe2, 0x80))).toBe("  ");
    expect(printableBytes(bytes("\u4e2d"))).toBe("   ");
    expect(printablePieces(["The", " wh", "\n", "\u4e2d", "", " \u4e2da"])).toBe("Tw   a");
  });

  it("a route within a route shows positions of the model's input", async () => {
    const small = ["vocab=256", "dim=12", "heads=2", "kv_heads=1", "hidden=8", "layers=1", "recursions=3"].flatMap(
      (s) => ["--set", s],
    );
    const { stdout } = await modc([
      "run",
      "examples/mor.mod",
      ...small,
      "--text",
      "Call me Ishmael",
      "--device",
      "reference",
    ]);
    const [outer, inner] = [0, 1].map((n) => new RegExp(`^chosen#${n} \\d+/15 +([·█]+)$`, "m").exec(stdout)![1]!);
    expect(Array.from(outer!).filter((c) => c === "█")).toHaveLength(10);
    expect(Array.from(inner!).filter((c) => c === "█")).toHaveLength(5);
    Array.from(inner!).forEach((c, t) => c === "█" && expect(outer![t]).toBe("█"));
  });

  it("experts of each token stand below the routes, those in a routed layer where its tokens are", async () => {
    const { stdout } = await modc([
      "run",
      "examples/mode.mod",
      ...["dim=12", "heads=2", "hidden=8", "depth=2", "capacity=25%"].flatMap((s) => ["--set", s]),
      "--text",
      "Call me Ishmael.",
      "--device",
      "reference",
    ]);
    const stripOf = (path: string): string =>
      Array.from(new RegExp(`^${path.replaceAll(".", "\\.")}(?: \\d+/16)? +(\\S{16})$`, "m").exec(stdout)![1]!).join(
        "",
      );
    expect(stripOf("layers.0.inner.mlp.chosen")).toMatch(/^[0-3]{16}$/);
    const [route, experts] = [stripOf("layers.1.chosen"), stripOf("layers.1.inner.mlp.chosen")];
    expect(experts).toMatch(/[0-3]/);
    Array.from(route).forEach((c, t) => expect(/[0-3]/.test(experts[t]!)).toBe(c === "█"));
    const counted = /^layers\.1\.inner\.mlp\.chosen: (.*)$/m.exec(stdout)![1]!;
    expect([...counted.matchAll(/by (\d+)/g)].reduce((n, [, by]) => n + Number(by), 0)).toBe(4);
    expect(stdout).not.toContain(".index");
  });

  it("a route observed under two names is shown under both", async () => {
    const folder = temporaryFolder();
    const lines = ["r = top(x[..., 0], 2)", "observe r", "q = r", "observe q", "put(x, r, take(x, r))"];
    const model = folder.file(
      "two.mod",
      `model M() {\n  forward(x: f32[B, T <= 4, 1]) -> f32[B, T, 1] {\n${lines.map((l) => `    ${l}\n`).join("")}` +
        `  }\n}\n`,
    );
    const { stdout } = await modc(["run", model, "--input", "x=[[[1],[3],[2],[4]]]", "--device", "reference"]);
    folder.remove();
    expect(stdout).toContain("\nr 2/4  ·█·█\nq 2/4  ·█·█\n");
  });

  it("without the routes in between, none is drawn at positions that would be wrong", () => {
    const axes = [
      { role: "sequence" as const, name: "T", bound: 8, count: { kind: "input" as const } },
      { role: "sequence" as const, name: "K", bound: 8, count: { kind: "top" as const, parent: "T", k: 4 } },
      { role: "sequence" as const, name: "L", bound: 8, count: { kind: "top" as const, parent: "K", k: 2 } },
    ];
    const output = (name: string, axis: string | null): Parameters<typeof observedRoutes>[0]["outputs"][number] => ({
      name,
      role: "observe",
      dtype: "u32",
      shape: axis === null ? ["B"] : ["B", axis],
      slot: 0,
      parts: [],
      starts: [],
      packing: axis === null ? null : { axis, batchDim: 0, tokenDim: 1 },
    });
    const value = (shape: readonly number[], data: readonly number[]) => ({ dtype: "u32" as const, shape, data });
    const program = { axes, outputs: [output("x.index", "L"), output("x.count", null)] };
    const found = observedRoutes(
      program,
      new Map([
        ["x.index", value([1, 2], [1, 3])],
        ["x.count", value([1], [2])],
      ]),
    );
    expect(found).toEqual([{ path: "x", axis: "L", parent: "K", chosen: [[1, 3]], absolute: false }]);
    expect(drawRoutes(found, 0, 8, null, 40)).toBe("x 2/8, of a route that is not observed");
  });
});

describe("values", () => {
  it("small ones are printed whole, large ones by their range", () => {
    expect(showValue("y", { dtype: "f32", shape: [1, 2], data: [0.1, 1 / 3] })).toBe(
      "y: f32[1, 2] = [[0.1, 0.333333]]",
    );
    expect(showValue("b", { dtype: "bool", shape: [2], data: [0, 1] })).toBe("b: bool[2] = [false, true]");
    expect(showValue("y", { dtype: "f32", shape: [0, 3], data: [] })).toBe("y: f32[0, 3] = []");
    expect(showValue("y", { dtype: "u32", shape: [100], data: Array.from({ length: 100 }, (_, i) => i) })).toBe(
      "y: u32[100]: from 0 to 99, mean 49.5; begins 0, 1, 2, 3, 4, 5, …",
    );
  });
});
