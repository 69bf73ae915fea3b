// Weights in the order their kernels read them.
import { describe, expect, it } from "vitest";
import { packedLength, type WeightLayout } from "../../src/program/program.js";
import { UnsupportedError, load } from "../../src/runtime/index.js";
import { forEachPiece } from "../../src/runtime/weights/layout.js";
import { testDevice } from "../device.js";
import { random } from "../random.js";
import { scaleProgram } from "./programs.js";

type Panels = Extract<WeightLayout, { kind: "panels" }>;

function pack(values: Float32Array, layout: WeightLayout): { readonly out: Float32Array; readonly pieces: number } {
  const out = new Float32Array(packedLength(layout, values.length)).fill(NaN);
  let pieces = 0;
  forEachPiece(values, layout, (words, at) => {
    out.set(words, at);
    pieces++;
  });
  return { out, pieces };
}

/** As the layout's comment says, element by element. */
function expected(values: Float32Array, { depth: K, width: N, transposed, columns }: Panels): Float32Array {
  const panels = Math.ceil(N / columns);
  const matrices = values.length / (K * N);
  const out = new Float32Array(matrices * panels * K * columns);
  for (let m = 0; m < matrices; m++)
    for (let n = 0; n < N; n++)
      for (let k = 0; k < K; k++)
        out[((m * panels + Math.floor(n / columns)) * K + k) * columns + (n % columns)] = values[m * K * N + (transposed ? n * K + k : k * N + n)]!;
  return out;
}

const numbers = (count: number): Float32Array => {
  const rng = random(3);
  return Float32Array.from({ length: count }, () => rng.normal());
};

describe("panels", () => {
  it.each([
    ["of a whole number of columns", 1, 8, 64, 32],
    ["the last of which is padded", 1, 7, 33, 32],
    ["of a matrix narrower than one", 1, 5, 3, 16],
    ["of several matrices", 3, 5, 19, 8],
    ["that go in several pieces", 2, 1000, 1500, 64],
    ["larger than a piece", 1, 40_000, 33, 32],
  ] as const)("%s", (_name, matrices, depth, width, columns) => {
    const values = numbers(matrices * depth * width);
    for (const transposed of [false, true]) {
      const layout: Panels = { kind: "panels", depth, width, transposed, columns };
      const { out } = pack(values, layout);
      expect(Buffer.compare(Buffer.from(out.buffer), Buffer.from(expected(values, layout).buffer))).toBe(0);
    }
  });
  it("are made a piece at a time", () => {
    const { pieces } = pack(numbers(2_000_000), { kind: "panels", depth: 1000, width: 2000, transposed: true, columns: 64 });
    expect(pieces).toBeGreaterThan(1);
  });
});

it("a weight as given goes as it is", () => {
  const values = numbers(10);
  forEachPiece(values, { kind: "given" }, (words, at) => {
    expect(words).toBe(values);
    expect(at).toBe(0);
  });
});

describe("a program whose kernels rely on what the device lacks", () => {
  it("is refused before anything is allocated", async () => {
    const device = await testDevice();
    const width = (device.target.subgroupSize ?? 8) * 2;
    const program = {
      ...scaleProgram(),
      target: { ...device.target, device: "discrete" },
      requires: { features: ["subgroups"], subgroupSize: width },
    } as const;
    const refused = load(program, device);
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow(new RegExp(`compiled for discrete and needs .*subgroups of ${width}`));
  });
});
