// Sources with adapters in place of linear layers: the same weights by the same paths, and adapters beside them.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { adaptable, adaptedSource } from "../../../src/models/families/source/adapted-source.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { VARIANTS } from "./folders.js";

const from = (text: string, read: (path: string) => string | null = () => null) =>
  ({ source: { file: "x.mod", text }, read, set: {}, model: null }) as const;
const adapted = (text: string, on: RegExp, alpha = 8) =>
  adaptedSource(from(text), { on: (path) => on.test(path), sizes: () => ({ rank: 4, alpha }) });
const weightsOf = (text: string) =>
  new Map(check({ file: "x.mod", text }, { phase: "infer", read: () => null }).model!.weights.map((w) => [w.path, w]));

const SMALL = `import { Linear, RMSNorm } from "std"

model Small() {
  norm: RMSNorm(8)
  up:   Linear(8, 12)
  gate: Linear(8, 12, false)
  // Back to the width.
  down: Linear(
    12, // from
    d_out: 8, // to
    bias: false,
  )

  forward(x: f32[B, 8]) -> f32[B, 8] { down(gate(norm(x)) * up(x)) }
}
`;

describe("a source with adapters", () => {
  it("keeps biases and comments, and imports what it uses", () => {
    const { text, paths, added, model } = adapted(SMALL, /^(?:up|down)$/, 2.5);
    expect([model, paths, added]).toEqual(["Small", ["up", "down"], 4 * (8 + 12) * 2]);
    expect(text).toContain('import { Linear, LoRA, RMSNorm } from "std"');
    expect(text).toContain("up:   LoRA(8, 12, rank: 4, alpha: 2.5, bias: true)");
    expect(text).toContain("gate: Linear(8, 12, false)");
    for (const comment of ["// Back to the width.", "// from", "// to"]) expect(text).toContain(comment);
    expect(adapted(SMALL, /gate/).text).toContain("gate: LoRA(8, 12, bias: false, rank: 4, alpha: 8.0)");
    const all = adapted(SMALL, /./).text;
    expect(all).toContain('import { LoRA, RMSNorm } from "std"');
    expect(adaptable(from(all))).toEqual([]);
    expect(check({ file: "x.mod", text: all }, { phase: "infer", read: () => null }).diagnostics).toEqual([]);
  });

  it.each(VARIANTS)("of a folder has its weights by the same paths and keys: $name", ({ config }) => {
    const source = decoderSource(parseConfig(JSON.stringify(config)));
    const before = weightsOf(source);
    const { text, paths } = adapted(source, /\.(?:q|q_b|v|kv_b)$/);
    expect(paths.length).toBeGreaterThan(0);
    const after = weightsOf(text);
    for (const [path, { keys, shape }] of before) expect(after.get(path)).toMatchObject({ keys, shape });
    const added = [...after.keys()].filter((path) => !before.has(path));
    expect(added).toEqual(paths.flatMap((path) => [`${path}.lora.a`, `${path}.lora.b`]));
  });

  it("is refused where one expression creates layers of both kinds, or another file does", () => {
    const listed = SMALL.replace("gate: Linear(8, 12, false)", "gate: [for i in 0..2: Linear(8, 12)]").replace(
      "gate(norm(x))",
      "(gate[0](x) + gate[1](norm(x)))",
    );
    expect(() => adapted(listed, /gate\.1/)).toThrow(
      "line 6 creates gate.1 with an adapter and gate.0 without one, by one expression",
    );
    const beside =
      'import { Small } from "./small.mod"\nmodel Big() {\n  inner: Small()\n' +
      "  forward(x: f32[B, 8]) -> f32[B, 8] { inner(x) }\n}\n";
    expect(() =>
      adaptedSource(
        from(beside, () => SMALL),
        { on: () => true, sizes: () => ({ rank: 4, alpha: 8 }) },
      ),
    ).toThrow("inner.up is created in small.mod, not in x.mod");
  });
});
