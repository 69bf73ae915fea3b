// A session on the device: inputs packed, results unfolded, buffers made once, faults told apart.
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Program } from "../../../src/runtime/program/program.js";
import {
  type Device,
  InputError,
  KernelError,
  LimitError,
  load,
  openDevice,
  ProgramError,
  type Session,
} from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { scaleProgram, stateProgram, tablesProgram } from "./programs.js";

describe("a session", () => {
  let device: Device;
  let session: Session;
  beforeAll(async () => {
    device = await testDevice();
    session = await load(tablesProgram, device, undefined, { seed: 7 });
  });
  afterAll(() => session.dispose());

  it("writes every kind of table", async () => {
    const r = await session.run(
      {
        x: [
          [1, 2, 3],
          [4, 5, 6],
        ],
      },
      { lengths: [3, 2], live: { capacity: "50%", heat: -0.25 } },
    );
    expect([...r["starts"]!.data]).toEqual([0, 3, 5]);
    expect([...r["k"]!.data]).toEqual([0, 1, 1, 2]); // ceil(n / 2)
    expect(r["span"]!.toArray()).toEqual([
      [0, 0],
      [1, 1],
      [1, 1],
      [1, 2],
    ]); // [1:-1]
    // Two tokens out of three are chosen, and one out of two.
    expect([...r["chosen"]!.data]).toEqual([0, 2, 3]);
    expect([...r["positions"]!.data]).toEqual([0, 1, 0]);
    expect([...r["segments"]!.data]).toEqual([0, 0, 1]);
    expect([...r["counts"]!.data]).toEqual([2, 1]);
    expect(r["size"]!.toArray()).toBe(0.375);
    expect(r["live"]!.toArray()).toBe(-0.25);
    expect(r["seed"]!.toArray()).toBe(7);
    const rope = [0, 1, 2].map((p) =>
      [Math.cos(p), Math.cos(p / 10), Math.sin(p), Math.sin(p / 10)].map((v) => Math.fround(v * 0.5)),
    );
    expect(r["rope"]!.toArray()).toEqual(rope);
    expect(r["__proto__"]!.toArray()).toBe(7);
  });

  it("takes a live ratio as it is written: 29% of 100 tokens is 29", async () => {
    const wide = await load({ ...tablesProgram, axes: tablesProgram.axes.map((a) => ({ ...a, bound: null })) }, device);
    for (const capacity of [0.29, "29%", "29/100", "0.29"]) {
      const { k } = await wide.run(
        { x: { data: new Uint32Array(100), shape: [1, 100] } },
        { live: { capacity }, outputs: ["k"] },
      );
      expect(k!.data[100]).toBe(29);
    }
    wide.dispose();
  });

  it("writes uniforms and tables again when sizes change, and not the seed", async () => {
    const first = await session.run({ x: [[1]] }, { seed: 4294967295 });
    const second = await session.run({ x: [[1, 1, 1, 1]] });
    expect([first["seed"]!.toArray(), second["seed"]!.toArray()]).toEqual([4294967295, 7]);
    expect([first["size"]!.toArray(), second["size"]!.toArray()]).toEqual([0.125, 0.5]);
    expect(second["rope"]!.shape).toEqual([4, 4]);
  });

  it("writes a table only when it changes", async () => {
    const small = await load(tablesProgram, device, undefined, { max: { B: 2, T: 4 } });
    const x = [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ];
    const written: string[] = [];
    const queue = vi.spyOn(device.gpu.queue, "writeBuffer").mockImplementation(function (this: GPUQueue, buffer) {
      written.push(buffer.label);
    });
    const tables = (): string[] => written.splice(0).filter((label) => label !== "uniforms");
    try {
      await small.run({ x });
      expect(tables()).toHaveLength(tablesProgram.tables.length);
      await small.run({ x });
      expect(written.splice(0)).toEqual([]);
      await small.run({ x }, { live: { heat: 2 } });
      expect(tables()).toEqual(["live"]);
      await small.run({ x }, { lengths: [4, 3], live: { heat: 2 } });
      expect(tables()).toEqual(["starts"]); // ceil(3 / 8) is one, as ceil(4 / 8) is
      await small.run({ x }, { lengths: [4, 0], live: { heat: 2 } });
      expect(tables()).toEqual(["starts", "chosen", "positions", "segments", "counts"]);
    } finally {
      queue.mockRestore();
      small.dispose();
    }
  });

  it("takes runs one after the other", async () => {
    const runs = await Promise.all([3, 1, 2].map((T) => session.run({ x: [Array.from({ length: T }, () => 0)] })));
    expect(runs.map((r) => r["size"]!.toArray())).toEqual([0.375, 0.125, 0.25]);
  });

  it("does not let one failed run spoil the next", async () => {
    const bad = session.run({ x: [[99]] });
    const good = session.run({ x: [[9]] });
    await expect(bad).rejects.toBeInstanceOf(InputError);
    expect((await good)["starts"]!.toArray()).toEqual([0, 1]);
  });

  it.each<readonly [string, unknown, RegExp]>([
    ["an empty object", {}, /^not a compiled program: format must be "/],
    ["null", null, /^not a compiled program: it is null \(did the source compile\?\)$/],
    ["its own text", "{}", /parseProgram/],
    ["a program of another version", { ...scaleProgram(), version: 0 }, /version must be \d+/],
    ["a program without steps", { ...scaleProgram(), steps: undefined }, /steps must be a list/],
    ["a program without a target", { ...scaleProgram(), target: null }, /target must be an object/],
  ])("refuses to load %s", async (_what, program, message) => {
    const error = await load(program as never, device).then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(ProgramError);
    expect((error as Error).message).toMatch(message);
  });

  it("says where two inputs disagree", async () => {
    const program = scaleProgram();
    const two = await load(
      {
        ...program,
        inputs: [
          ...program.inputs,
          { name: "z", dtype: "bool", shape: ["B", "T"], packing: null, least: 0, below: null, slot: null },
        ],
      },
      device,
    );
    await expect(two.run({ x: [[[1, 2, 3]]], z: [[true, false]] })).rejects.toThrow("T is 1 in x, but 2 in z");
    await expect(two.run({ x: [[[1, 2]]], z: [[true]] })).rejects.toThrow(
      "input x has shape [1, 1, 2], the model takes [B, T, 3]",
    );
    await expect(two.run({ x: [[[1, 2, 3]]], z: [[2]] })).rejects.toThrow("z[0][0] is 2: bool takes true and false");
    two.dispose();
  });

  it("names the slot that is too large, before anything is allocated", async () => {
    const error = await load(scaleProgram(null), device, undefined, { max: { B: 1e6, T: 1e6 } }).then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(LimitError);
    expect((error as LimitError).message).toMatch(/^x needs 10\.9 TiB, the device allows/);
    await expect(load(scaleProgram(), device, undefined, { max: { T: 65 } })).rejects.toThrow(
      "max: T is 65: the model allows 64",
    );
    await expect(load(scaleProgram(), device, undefined, { max: { Z: 1 } })).rejects.toThrow(
      "max: the model has no axis Z",
    );
  });

  it("starts small where only the bounds are too large for the device", async () => {
    const large = await load(scaleProgram(2 ** 31), device);
    const { output } = await large.run({ x: [[[1, 2, 3]]] });
    expect(output!.toArray()).toEqual([[[3, 5, 7]]]);
    large.dispose();
  });

  it("folds workgroups over two dimensions where one has no room", async () => {
    const big = await load(scaleProgram(null), device, undefined, { max: { T: 1 } });
    const T = 1_500_000; // 70,313 workgroups of 64
    const x = new Float32Array(T * 3).map((_, i) => i % 1000);
    const { output } = await big.run({ x: { data: x, shape: [1, T, 3] } });
    expect(output!.data.every((v, i) => v === 2 * (i % 1000) + 1)).toBe(true);
    big.dispose();
  });

  it("computes nothing that only an observed value needs, unless asked", async () => {
    const ones =
      `@group(0) @binding(1) var<storage, read_write> y: array<u32>;\n@compute @workgroup_size(1) fn main() { y[0] ` +
      "+= 1u; }";
    const program = {
      ...stateProgram,
      outputs: [
        ...stateProgram.outputs,
        { name: "seen", role: "observe", dtype: "u32", shape: [], packing: null, slot: 4, parts: [], starts: [] },
      ] as const,
      slots: [...stateProgram.slots, { bytes: 4, label: "seen" }],
      kernels: [
        ...stateProgram.kernels,
        { name: "ones", wgsl: ones, access: ["read_write"], uniforms: 0, tuning: "" },
      ] as const,
      steps: [
        ...stateProgram.steps,
        { kind: "dispatch", kernel: 1, slots: [4], uniforms: [], workgroups: 1, work: null },
      ] as const,
    };
    const s = await load(program, device);
    for (let i = 0; i < 3; i++) await s.run({ x: [0] });
    const { seen, total } = await s.run({ x: [0] }, { observe: true });
    expect([seen!.toArray(), total!.toArray()]).toEqual([1, 4]);
    s.dispose();
  });

  it("reports a kernel that does not compile as a fault of the compiler", async () => {
    const program = scaleProgram();
    const broken = { ...program, kernels: [{ ...program.kernels[0]!, wgsl: "fn main( {" }] };
    const error = await load(broken, device).then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(KernelError);
    expect((error as Error).message).toMatch(/^modc bug: the device refuses kernel scale\.0/);
    expect(device.uncaptured).toEqual([]);
  });

  it("has handed nothing over where a run needs a kernel that does not compile", async () => {
    const [first] = stateProgram.kernels;
    const broken: Program = {
      ...stateProgram,
      kernels: [first!, { ...first!, wgsl: "fn main( {" }],
      steps: [
        ...stateProgram.steps,
        { kind: "dispatch", kernel: 1, slots: [0, 1], uniforms: [], workgroups: 1, work: null },
      ],
    };
    const s = await load(broken, device, undefined, { compile: "run" });
    for (let i = 0; i < 2; i++) await expect(s.run({ x: [4] })).rejects.toBeInstanceOf(KernelError);
    expect([...(await s.readStates()).get("total")!.data]).toEqual([0]);
    s.dispose();
  });

  it("gives up when told to", async () => {
    await expect(load(scaleProgram(), device, undefined, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    await expect(session.run({ x: [[1]] }, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it("reads its inputs before `run` returns", async () => {
    const s = await load(scaleProgram(), device);
    const x = Float32Array.of(1, 2, 3);
    const runs = [0, 1].map(() => s.run({ x: { data: x, shape: [1, 1, 3] } }));
    x.fill(9);
    for (const { output } of await Promise.all(runs)) expect(output!.toArray()).toEqual([[[3, 5, 7]]]);
    s.dispose();
  });

  it("fails the runs under way where it is disposed of, and frees what they made", async () => {
    // Before the buffers grow, while they do, and while the device computes; a run that is through by then has its
    // results.
    for (const turns of [0, 2, 5, 8, 20]) {
      const s = await load(scaleProgram(null), device, undefined, { max: { B: 1, T: 1 } });
      const runs = [
        s.run({ x: { data: new Float32Array(3 * 40 * 64), shape: [40, 64, 3] } }),
        s.run({ x: { data: new Float32Array(3), shape: [1, 1, 3] } }),
      ];
      for (let i = 0; i < turns; i++) await Promise.resolve();
      s.dispose();
      for (const run of await Promise.allSettled(runs))
        if (run.status === "rejected") expect(run.reason).toMatchObject({ code: "disposed" });
        else expect(run.value["output"]!.data.every((v) => v === 1)).toBe(true);
      if (turns === 0) await expect(runs[0]).rejects.toMatchObject({ code: "disposed" });
      expect(s.memory.bytes).toBe(0);
    }
    expect(device.uncaptured).toEqual([]);
  });

  it("refuses runs after it was disposed of", async () => {
    const s = await load(scaleProgram(), device);
    s.dispose();
    await expect(s.run({ x: [[[1, 2, 3]]] })).rejects.toMatchObject({ code: "disposed" });
  });

  it("works on a device of the caller's own, and leaves it to him", async () => {
    const borrowed = await openDevice({ device: device.gpu });
    expect(borrowed.info.software).toBe(device.info.software);
    const s = await load(scaleProgram(), borrowed);
    expect((await s.run({ x: [[[0, 1, 2]]] }))["output"]!.toArray()).toEqual([[[1, 3, 5]]]);
    s.dispose();
    borrowed.destroy();
    expect((await session.run({ x: [[1]] }))["seed"]!.toArray()).toBe(7);
  });
});
