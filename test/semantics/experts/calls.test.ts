// Laws of mixtures, and calls to lists of blocks: arguments, results, losses, observations.
import { describe, expect, it } from "vitest";
import { testDevice } from "../../device.js";
import {
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Compiled,
  type Filled,
} from "../../end-to-end/model.js";
import { packRows } from "../../../src/compiler/reference/pack.js";
import { tensor } from "../../../src/compiler/ops/tensors.js";

const D = 4;
const given = (B: number, T: number, seed = 1): Case => ({
  inputs: { x: randomInput([B, T, D], seed) },
  lengths: randomLengths(B, T, 5),
});

/** A model of vectors around a body, with four experts and their router. */
const model = (body: string, members = ""): string => `
import { ExpertChoice, Linear, MoE, Nothing, Same, SwiGLU } from "std"
block Scaled(dim: int) {
  inner: Linear(dim, dim)
  forward(x: f32[B, T, dim], gate: f32[B, T], wide: f32[B, T, dim], all: f32[4]) -> f32[B, T, dim] {
    inner(x) * gate[..., None] + wide * sum(all)
  }
  both(x: f32[B, T, dim]) -> (up: f32[B, T, dim], sure: bool[B, T]) { (inner(x), x[..., 0] > 0) }
  told(x: f32[B, T, dim]) -> f32[B, T, dim] {
    seen = sum(x, axis: -1)
    observe seen
    loss own = mean(seen ^ 2)
    dropout(x, 0.5)
  }
  twice(x: f32[B, T, dim]) -> f32[B, T, 2 * dim] { concat([x, inner(x)], axis: -1) }
}
block Single(inner: block, gate: block, dim: int) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = sigmoid(gate(x))
    c = top(score, 1, axis: -1)
    sum([inner][c](x) * take(score, c)[..., None], axis: -2)
  }
}
model Laws(dim: int = ${D}, n: int = 4) {
  router: Linear(dim, 4, bias: false)
  experts: [for e in 0..4: Scaled(dim)]
  nets: [for e in 0..4: SwiGLU(dim, 5)]
  ${members}
  forward(x: f32[B, T <= 32, dim]) -> f32[B, T, dim] {
    p = softmax(router(x))
    ${body}
  }
  objective(x: f32[B, T <= 32, dim]) { loss square = mean(forward(x) ^ 2) }
}`;

/** From the last expert down: a loop up is recognised as what it means, and would be compared with itself. */
const LOOPED = (call: string): string => `y = 0.0 * x
    for i in 0..4 { e = 3 - i; r = c[e]; y = put(y, r, ${call}) }
    y`;

/** Both bodies give the same, in 64 bits. */
function expectSame(a: string, b: string, members = "", exactly = 1e-12): void {
  const [one, other] = [compiled(model(a, members)), compiled(model(b, members))];
  const weights = randomWeights(one.program, 3);
  for (const case_ of [given(3, 7), given(1, 1), given(7, 2)]) {
    const [x, y] = [one, other].map(({ graph }) => reference(graph, weights, case_).outputs.get("output")!.data);
    const { ratio, text } = furthest(x!, y!, exactly, exactly);
    expect(ratio, text).toBeLessThan(1);
  }
}

describe("a mixture", () => {
  it("of all experts without a gate is their sum", () =>
    expectSame("sum(nets[top(p, 4, axis: -1)](x), axis: -2)", "nets[0](x) + nets[1](x) + nets[2](x) + nets[3](x)"));

  it("of one expert with a sigmoid gate is that gated block", () =>
    expectSame("one(x)", "inner(x) * sigmoid(gate(x))", ONE));

  it("with room for all tokens drops none", () =>
    expectSame(
      `wish = top(p, 2, axis: -1)
    early = top(where(wish.mask, p, -1e9), T, axis: 1)
    c = those(wish.mask and early.mask)
    sum(nets[c](x) * take(p, c)[..., None], axis: -2)`,
      "c = top(p, 2, axis: -1)\nsum(nets[c](x) * take(p, c)[..., None], axis: -2)",
    ));

  it("of experts that do nothing is nothing, and of those that give back is the gates' sum", () => {
    expectSame("idle(x)", "0.0 * x", "idle: MoE([for e in 0..4: Nothing()], dim, 2)");
    expectSame("same(x)", "x", "same: MoE([for e in 0..4: Same()], dim, 3, renormalize: true)");
  });

  it("changes by the order of sums alone where experts and the router's rows are permuted", () => {
    const { graph, program } = compiled(model("moe(x)", "moe: MoE([for e in 0..4: SwiGLU(dim, 5)], dim, 2)"));
    const weights = randomWeights(program, 3);
    const order = [2, 0, 3, 1];
    const moved = new Map<string, Filled>(
      [...weights].map(([path, filled]) => {
        const expert = /^moe\.experts\.(\d)\.(.*)$/.exec(path);
        return [path, expert ? weights.get(`moe.experts.${order[Number(expert[1])]}.${expert[2]}`)! : filled];
      }),
    );
    const { shape, data } = weights.get("moe.router.weight")!;
    moved.set("moe.router.weight", {
      shape,
      data: Float32Array.from(data, (_, i) => data[order[Math.floor(i / D)]! * D + (i % D)]!),
    });
    const [a, b] = [weights, moved].map((w) => reference(graph, w, given(3, 7)).outputs.get("output")!.data);
    expect(furthest(a!, b!, 1e-14, 1e-14).ratio).toBeLessThan(1);
  });

  it.each(["top(p, 2, axis: -1)", "above(p, 0.25)", "top(p, ceil(50% * T), axis: 1)"])(
    "of a batch is that of its sequences alone, bit for bit: %s",
    async (choice) => {
      const own = compiled(model(`c = ${choice}\nsum(nets[c](x) * take(p, c)[..., None], axis: -2)`));
      const weights = randomWeights(own.program, 3);
      const session = await sessionOf(own.program, await testDevice(), weights, { B: 3, T: 8 });
      const { inputs } = given(3, 7);
      const whole = (await onDevice(session, { inputs })).output!.data;
      for (let b = 0; b < 3; b++) {
        const x = { shape: [1, 7, D], data: inputs["x"]!.data.slice(b * 7 * D, (b + 1) * 7 * D) };
        const alone = (await onDevice(session, { inputs: { x } })).output!.data;
        expect(alone).toEqual(whole.slice(b * 7 * D, (b + 1) * 7 * D));
      }
      session.dispose();
    },
  );
});

const ONE = `inner: SwiGLU(dim, 5)
  gate: Linear(dim, 1, bias: false)
  one: Single(inner, gate, dim)`;

describe("a call of a list of blocks", () => {
  it("takes arguments by the tokens, by the entries, or whole", () => {
    for (const choice of ["top(p, 2, axis: -1)", "top(p, 1, axis: -1)", "above(p, 0.25)"])
      expectSame(
        `c = ${choice}
    g = take(p, c) * 3
    sum(experts[c](x, g, x * 2, table), axis: -2)`,
        `c = ${choice}
    ${LOOPED("experts[e](take(x, r), take(p[..., e] * 3, r), take(x * 2, r), table)")}`,
        "weight table: f32[4]",
      );
  });

  it("gives several results, also truth values", () => {
    expectSame(
      `c = top(p, 3, axis: -1)
    (up, sure) = experts[c].both(x)
    sum(where(sure[..., None], up, 0.5), axis: -2)`,
      `c = top(p, 3, axis: -1)
    ${LOOPED("where((take(x, r)[..., 0] > 0)[..., None], experts[e].inner(take(x, r)), 0.5)")}`,
    );
    expectSame(
      "c = top(p, 2, axis: -1)\nmax(experts[c].twice(x), axis: -2)[..., dim:]",
      `c = top(p, 2, axis: -1)
    far = -1e30 + 0.0 * x
    y = far
    for e in 0..4 {
      r = c[e]
      z = put(0.0 * x, r, experts[e].inner(take(x, r)))
      y = where(c.mask[..., e:e + 1], max(y, z), y)
    }
    y`,
    );
  });

  it("keeps losses, observed values and random streams by block", () => {
    const { graph } = compiled(model("c = top(p, 2, axis: -1)\nsum(experts[c].told(x), axis: -2)"), {
      phase: "train",
    });
    const names = graph.outputs.map((o) => o.name);
    for (const e of [0, 1, 2, 3])
      expect(names).toEqual(expect.arrayContaining([`experts.${e}.seen`, `loss.experts.${e}.own`]));
  });
});

describe("the reference", () => {
  const observed = (choice: string): string =>
    model(`c = ${choice}\nobserve c\nsum(nets[c](x) * take(p, c)[..., None], axis: -2)`);
  const source = observed("top(p, 2, axis: -1)");
  const run = ({ graph, program }: Compiled, entries?: number[]) => {
    const lengths = Uint32Array.of(2, 1);
    const shape = [2, 2, (entries?.length ?? 0) / 4];
    const packed = entries && packRows(tensor("u32", shape, Float64Array.from(entries)), PACKING, [0, 2, 3]);
    return reference(
      graph,
      randomWeights(program, 3),
      { inputs: { x: randomInput([2, 2, D], 9) }, lengths },
      undefined,
      packed && new Map([["c", packed]]),
    );
  };

  it("reports the margin of each row of entries", () => {
    const { entries } = run(compiled(source));
    const { used, chosen, margins } = entries.get("c")!;
    expect(used).toBe(chosen);
    expect(used.shape).toEqual([3, 2]);
    expect(margins).toHaveLength(3);
    expect(Math.min(...margins)).toBeGreaterThan(0);
    expect(Math.max(...margins)).toBeLessThan(1);
  });

  it("takes over the entries of another run, and tells which it would have chosen", () => {
    const own = compiled(source);
    const free = run(own);
    const same = run(own, [...free.outputs.get("c.index")!.data]);
    expect(same.outputs).toEqual(free.outputs);
    const other = run(own, [0, 1, 1, 2, 2, 3, 0, 0]);
    expect([...other.entries.get("c")!.used.data]).toEqual([0, 1, 1, 2, 2, 3]);
    expect(other.entries.get("c")!.chosen).toEqual(free.entries.get("c")!.chosen);
    expect([...other.outputs.get("c.index")!.data]).toEqual([0, 1, 1, 2, 2, 3, 0, 0]);
    expect(other.outputs.get("output")).not.toEqual(free.outputs.get("output"));
  });

  it("does so where tokens have different numbers of entries", () => {
    const own = compiled(observed("above(p, 0.25)"));
    const free = run(own);
    const { margins, chosen } = free.entries.get("c")!;
    expect(chosen.shape).toEqual([3, 4]);
    // The margin of a row is the distance of its nearest score from the threshold.
    expect(margins).toHaveLength(3);
    for (const margin of margins) expect(margin).toBeLessThan(0.25);
    const none = run(
      own,
      Array.from({ length: 16 }, () => 4),
    );
    expect(none.outputs.get("output")!.data.every((v) => v === 0)).toBe(true);
    expect(none.outputs.get("c.count")!.data.every((n) => n === 0)).toBe(true);
    const some = run(own, [1, 4, 4, 4, 0, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]);
    expect([...some.outputs.get("c.count")!.data]).toEqual([1, 3, 0, 0]);
    expect([...some.outputs.get("c.index")!.data]).toEqual([1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(some.entries.get("c")!.chosen).toEqual(chosen);
  });
});

const PACKING = { axis: "T", batchDim: 0, tokenDim: 1 };
