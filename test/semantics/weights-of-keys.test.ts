// Weights for keys in attention: their meaning, and equality with a routed block if a route gives the weights.
import { describe, expect, it } from "vitest";
import { check } from "../../src/language/check/check.js";
import { generationGraphs, type GenerationGraphs } from "../../src/compiler/lower/generation.js";
import { lower } from "../../src/compiler/lower/lower.js";
import { isOp, nodesOf, typeOf } from "../../src/compiler/ir/graph.js";
import { packedAxis } from "../../src/compiler/ir/typing.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { testDevice } from "../device.js";
import { expectAgreement, type Tally } from "../end-to-end/agree.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Compiled,
} from "../end-to-end/model.js";

interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

const D = 8;
const [B, T] = [3, 21];
const given: Case = {
  inputs: { x: randomInput([B, T, D], 1), s: randomInput([B, T], 2) },
  lengths: Uint32Array.from([T, 0, 13]),
};

const source = (body: string, more = ""): string => `
import { Attention, Linear } from "std"
model M(dim: int = ${D}) {
  attn: Attention(dim, 2)
  ${more}
  forward(x: f32[B, T <= 64, dim], s: f32[B, T]) -> f32[B, T, dim] {
    ${body}
  }
}
`;

/** Attention of two heads over x by its parts, so that weights can be given. */
const ATTEND = (options: string): string => `q = rope(rearrange(attn.q(x), "b t (h d) -> b h t d", h: 2), 10000.0)
    k = rope(rearrange(attn.k(x), "b t (h d) -> b h t d", h: 2), 10000.0)
    v = rearrange(attn.v(x), "b t (h d) -> b h t d", h: 2)
    y = attn.o(rearrange(attention(q, k, v, causal: true, ${options}), "b h t d -> b t (h d)"))`;

/** The values of a run on the device, which the reference has agreed with. */
async function valuesOf({ program, graph }: Compiled, seed = 3): Promise<readonly number[]> {
  const weights = randomWeights(program, seed);
  const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
  const tally: Tally = { choices: 0, forced: 0 };
  expectAgreement(graph, weights, given, await onDevice(session, given), { atol: 5e-6, rtol: 5e-6 }, tally);
  expect(tally.forced).toBe(0);
  session.dispose();
  return [...reference(graph, weights, given).outputs.get("output")!.data];
}

const close = (found: readonly number[], wanted: readonly number[]): void =>
  found.forEach((v, i) => expect(Math.abs(v - wanted[i]!), `at ${i}`).toBeLessThan(1e-12));

/** Whether a batch row has such a token. */
const isToken = (at: number): boolean => at % (T * D) < given.lengths![Math.floor(at / (T * D))]! * D;

describe("weights of keys", () => {
  it("of 1 change nothing, and a common factor of all does not either", async () => {
    const plain = await valuesOf(compiled(source(`${ATTEND("window: 0")}\n y`)));
    close(await valuesOf(compiled(source(`${ATTEND("weight: exp(zeros(like: s))")}\n y + s[..., None] * 0.0`))), plain);
    close(await valuesOf(compiled(source(`${ATTEND("weight: 7.5 * exp(zeros(like: s))")}\n y`))), plain);
  });

  it("are what a key that stands there so often would have", async () => {
    // log w is added to the score by one more dimension of queries and keys.
    const byScore = `${ATTEND("window: 0").replace(
      "y = attn.o(rearrange(attention(q, k, v, causal: true, window: 0)",
      `one = exp(zeros(like: q[..., 0:1]))
    more = one * log(abs(s) + 0.1)[:, None, :, None]
    y = attn.o(rearrange(attention(concat([q, one], axis: -1), concat([k * 0.5, more], axis: -1), v, causal: true, ` +
        "scale: 1.0)",
    )}\n y`;
    close(
      await valuesOf(compiled(source(`${ATTEND("weight: abs(s) + 0.1")}\n y`))),
      await valuesOf(compiled(source(byScore))),
    );
  });

  it("of 0 and below hide their keys, and a query that sees no other yields zeros", async () => {
    const weighted = await valuesOf(compiled(source(`${ATTEND("weight: s")}\n y`)));
    const hidden = await valuesOf(compiled(source(`${ATTEND("weight: relu(s)")}\n y`)));
    expect(weighted).toEqual(hidden);
    const first = given.inputs["s"]!.data.findIndex((v) => v > 0);
    expect(first).toBeGreaterThan(0);
    expect(weighted.slice(0, first * D).every((v) => v === 0)).toBe(true);
    const none = await valuesOf(compiled(source(`${ATTEND("weight: -abs(s)")}\n y`)));
    expect(none.filter((_, at) => isToken(at)).every((v) => v === 0)).toBe(true);
  });
});

describe("the gradient of weights", () => {
  it("of 0 is that from above, and below 0 it is 0", () => {
    const text = `
import { Attention } from "std"
model M(dim: int = ${D}) {
  attn: Attention(dim, 2)
  weight table: f32[64, 1]
  objective(x: f32[B, T <= 64, dim]) {
    w = table[position(x)][..., 0]
    ${ATTEND("weight: w")}
    loss l = mean(y ^ 2)
  }
}`;
    const { graph } = compiled(text, { phase: "train", gradients: true });
    const weights = randomWeights(compiled(text, { phase: "train" }).program, 7);
    const table = Float32Array.from({ length: 64 }, (_, i) => [1, 0, -0.5, 0.75, 0][i % 5]!);
    const at = (values: Float32Array | Float64Array) =>
      evaluate(graph, {
        inputs: new Map([["x", given.inputs["x"]!]]),
        lengths: given.lengths!,
        weights: new Map<string, Values>([...weights, ["table", { shape: [64, 1], data: values }]]),
      }).outputs;
    const gradient = at(table).get("grad.table")!.data;
    const step = 1e-7;
    for (let i = 0; i < 21; i++) {
      const moved = Float64Array.from(table);
      moved[i]! += step;
      const difference = (at(moved).get("loss")!.data[0]! - at(table).get("loss")!.data[0]!) / step;
      expect(Math.abs(gradient[i]! - difference), `weight ${i}, ${table[i]}`).toBeLessThan(1e-5);
      if (table[i]! < 0) expect(gradient[i]).toBe(0);
    }
    expect(gradient.filter((g, i) => i < 21 && table[i] === 0 && g !== 0).length).toBeGreaterThan(3);
  });
});

describe("caches of weighted keys", () => {
  const layersOf = (weight: string): GenerationGraphs["layers"] => {
    const text = `
import { Attention, Embedding } from "std"
model M(dim: int = ${D}) {
  embed: Embedding(9, dim)
  attn: Attention(dim, 2)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 9] {
    x = embed(tokens)
    s = x[..., 0]
    r = above(s, 0.2)
    ${ATTEND(`weight: ${weight}`)}
    (x + y) @ transpose(embed.table)
  }
}`;
    const { model } = check({ file: "m.mod", text }, { phase: "generate", set: {}, read: () => null });
    return generationGraphs(lower(model!)).layers;
  };
  it("hold the weights beside the keys", () =>
    expect(layersOf("relu(s)")).toMatchObject([{ axis: "T", operands: ["cache.weights"] }]));
  it("hold the keys of a route alone where its mask weighs them", () =>
    expect(layersOf("straight(r.mask, sigmoid(s))")).toMatchObject([{ axis: "K", operands: [] }]));
});

describe("weights that are the mask of a route", () => {
  const routed = compiled(source("r = above(s, 0.2)\n observe r\n put(x, r, attn(take(x, r)))"));
  it.each(["straight(r.mask, sigmoid(s))", "f32(r.mask)"])("make it a routed block: %s", async (mask) => {
    const body = `r = above(s, 0.2)\n observe r\n m = ${mask}\n ${ATTEND("weight: m")}\n x + y * m[..., None]`;
    const masked = compiled(source(body));
    expect(await valuesOf(masked)).toEqual(await valuesOf(routed));
    // Neither queries nor keys of other tokens are computed.
    const axes = nodesOf(masked.graph).flatMap((n) => (isOp(n, "matmul") ? [packedAxis(typeOf(n).shape[0]!)] : []));
    expect(new Set(axes)).toEqual(new Set(["K"]));
  });
});
