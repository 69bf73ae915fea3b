// Several runs of a graph on the device, each held against the reference.
import { expect } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Target } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { load } from "../../../src/runtime/index.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { ANY_DEVICE } from "../../any-device.js";
import { testDevice } from "../../device.js";
import { expectClose } from "../../close.js";

export interface Setting {
  readonly lengths: readonly number[];
  /** Rows of a cache for each sequence, where there is one. */
  readonly room?: number;
  /** Rows of a pool, if the program has a pool. */
  readonly pool?: number;
  readonly states?: ReadonlyMap<string, readonly number[]>;
}

const wave = (count: number, phase: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.fround(Math.sin(1 + i * i + phase)));
const TABLE = { shape: [64, 4], data: Array.from({ length: 256 }, (_, i) => Math.fround(Math.cos(i * 0.3))) };

/** Three runs on the device, with as many buffers as it has and with as many as any has. */
export async function expectReference(
  g: Graph,
  { lengths, room, pool, states: first = new Map() }: Setting,
  any: Target = ANY_DEVICE,
): Promise<void> {
  const device = await testDevice();
  expect(verify(g, ops)).toEqual([]);
  const weights = new Map(
    nodesOf(g).flatMap((n) =>
      isOp(n, "weight")
        ? [
            [
              n.attrs.path,
              {
                shape: n.attrs.shape,
                data: Float32Array.from(
                  wave(
                    n.attrs.shape.reduce((a, b) => a * b, 1),
                    7,
                  ),
                ),
              },
            ] as const,
          ]
        : [],
    ),
  );
  const caches = { ...(room !== undefined && { "T.capacity": room }), ...(pool !== undefined && { "T.pool": pool }) };
  const longest = Math.max(...lengths);
  for (const target of [device.target, any]) {
    const session = await load(emit(schedule(g, target)), device, (w) => weights.get(w.path)!.data, {
      max: { B: lengths.length, T: longest, ...caches },
    });
    try {
      if (first.size > 0)
        await session.writeStates(new Map([...first].map(([name, data]) => [name, { data: Uint32Array.from(data) }])));
      let states: ReadonlyMap<string, Tensor> = new Map(
        [...first].map(([name, data]) => {
          const width = Number(g.states.find((s) => s.name === name)!.type.shape[1] ?? 1);
          const shape = width === 1 ? [data.length] : [data.length / width, width];
          return [name, { dtype: "u32", shape, data: Float64Array.from(data) }];
        }),
      );
      for (let run = 0; run < 3; run++) {
        const x = { shape: [lengths.length, longest, 4], data: wave(lengths.length * longest * 4, run) };
        const inputs = new Map([
          ["x", x],
          ...(g.inputs.some((i) => i.name === "table") ? [["table", TABLE] as const] : []),
        ]);
        const expected = evaluate(g, { inputs, weights, states, lengths, extents: new Map(Object.entries(caches)) });
        const found = await session.run(Object.fromEntries(inputs), { lengths, extents: caches });
        for (const [name, { data }] of expected.outputs)
          expectClose(found[name]!.data, data, allowed, `${target.device}, run ${run}, ${name}`);
        states = expected.states;
        for (const [name, { data }] of await session.readStates())
          expectClose(data, states.get(name)!.data, allowed, `${target.device}, run ${run}, ${name}`);
      }
    } finally {
      session.dispose();
    }
  }
}

/** What a few 32-bit operations of numbers around ten lose. */
const allowed = (expected: number): number => 1e-4 * Math.max(1, Math.abs(expected));
