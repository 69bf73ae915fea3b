// Memory: known before a session is made, the same when it is, grown once where more is asked, and never while a run is
// under way.
import { readFileSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { Allocator } from "../../../src/runtime/steps/allocator.js";
import { type Device, load, memoryOf, openDevice, type SessionEvent } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { aboveProgram, scaleProgram, stateProgram, tablesProgram } from "./programs.js";

const example = (file: string, set: Readonly<Record<string, number>> = {}): Program => {
  const { program } = compile(readFileSync(file, "utf8"), { file, set });
  if (!program) throw new Error(`${file} does not compile`);
  return program;
};
const promptOf = (file: string, set: Readonly<Record<string, number>>): Program => {
  const { generation } = compileGeneration(readFileSync(file, "utf8"), { file, set });
  if (!generation) throw new Error(`${file} does not compile`);
  return generation.prompt;
};
const moby = example("examples/moby.mod", { dim: 32, depth: 4, context: 512 });
const tokens = (
  B: number,
  T: number,
  seed = 1,
): { readonly tokens: { readonly data: Uint32Array; readonly shape: readonly number[] } } => {
  const numbers = random(seed);
  return { tokens: { data: Uint32Array.from({ length: B * T }, () => numbers.below(256)), shape: [B, T] } };
};

let device: Device;
let made: { readonly label: string; readonly size: number }[] = [];
/** Bytes of the buffers that were made and not destroyed. */
let live = 0;
beforeAll(async () => {
  const own = await testDevice();
  // Counts every buffer that anybody makes on it.
  const gpu = new Proxy(own.gpu, {
    get(target, name) {
      if (name === "createBuffer")
        return (d: GPUBufferDescriptor): GPUBuffer => {
          made.push({ label: d.label ?? "", size: d.size });
          live += d.size;
          const buffer = target.createBuffer(d);
          const destroy = buffer.destroy.bind(buffer);
          Object.defineProperty(buffer, "destroy", {
            value: () => {
              live -= d.size;
              return destroy();
            },
          });
          return buffer;
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  device = await openDevice({ device: gpu });
});
afterEach(() => {
  made = [];
});

describe("what a session allocates", () => {
  const programs: readonly (readonly [string, Program, Readonly<Record<string, number>>])[] = [
    ["a kernel", scaleProgram(), { B: 3, T: 17 }],
    ["rows that the device counts", aboveProgram, { B: 2, T: 33 }],
    ["tables", tablesProgram, { B: 2 }],
    ["states", stateProgram, {}],
    ["a Mixture-of-Depths model", moby, { B: 2, T: 100 }],
    ["the same at its bounds", moby, {}],
  ];
  it.each(programs)("is what was predicted, to the byte: %s", async (_name, program, max) => {
    const { total, reading, ...parts } = memoryOf(program, {
      max,
      uniformAlignment: device.info.limits.minUniformBufferOffsetAlignment,
    });
    const session = await load(program, device, undefined, { seed: 0, max });
    expect(made.reduce((n, b) => n + b.size, 0)).toBe(total);
    expect(session.memory).toEqual({ buffers: made.length, bytes: total });
    expect(Object.values(parts).reduce((n, b) => n + b, 0)).toBe(total);
    made = [];
    const before = live;
    await session.readStates();
    expect(made.map((b) => b.size)).toEqual(program.states.length > 0 ? [reading] : []);
    expect(live, "what states were read through is gone").toBe(before);
    session.dispose();
    expect([session.memory.bytes, live]).toEqual([0, 0]);
  });

  it("weights do not depend on the length, activations do", () => {
    const [short, long] = [64, 512].map((T) => memoryOf(moby, { max: { B: 1, T } }));
    expect(short!.weights).toBe(long!.weights);
    expect(long!.activations).toBeGreaterThan(6 * short!.activations);
    expect(memoryOf(moby, { max: { B: 4, T: 64 } }).activations).toBeGreaterThan(3 * short!.activations);
  });

  it("states are read through a buffer of the largest, 16 MiB at most", () => {
    const of = (...shapes: readonly (readonly number[])[]): number =>
      memoryOf({
        ...stateProgram,
        states: shapes.map((shape, i) => ({ ...stateProgram.states[0]!, name: `s${i}`, shape })),
      }).reading;
    expect([of(), of([]), of([10, 10], [5]), of([3000, 3000], [1])]).toEqual([0, 16, 400, 16 * 1024 * 1024]);
  });

  it("an extent or a live parameter that does not fit is refused in one sentence", () => {
    expect(() => memoryOf(moby, { max: { T: 513 } })).toThrow("max: T is 513: the model allows 512");
    expect(() => memoryOf(moby, { live: { heat: 1 } })).toThrow("the model has no live parameter heat");
  });
});

describe("sizes beyond any device", () => {
  const open = example("examples/moby.mod", { dim: 32, depth: 4, context: 4096 });

  it("cost no more to look at than one sequence does, and are exact", () => {
    const [one, most] = [1, 4_294_967_295].map((B) => memoryOf(open, { max: { B, T: 4096 } }));
    expect(most!.weights).toBe(one!.weights);
    expect(most!.activations / one!.activations / 4_294_967_295).toBeCloseTo(1, 2);
    const results = (B: number): number => memoryOf(open, { max: { B, T: 4096 } }).results;
    expect(results(1_000_000) - results(100)).toBe(999_900 * (results(101) - results(100)));
  });

  it.each([1e9, 4_294_967_295])(
    "are refused by name before anything is allocated, at once: %d sequences",
    async (B) => {
      const start = performance.now();
      await expect(load(open, device, undefined, { seed: 0, max: { B } })).rejects.toMatchObject({
        code: "limit-exceeded",
        message: expect.stringMatching(
          /^\S.* needs [\d.]+ [GTPE]iB, the device allows [\d.]+ [MG]iB \(max(Buffer|StorageBufferBinding)Size\)$/,
        ),
      });
      expect(made).toEqual([]);
      expect(performance.now() - start).toBeLessThan(2000);
    },
  );

  it("are refused where states would grow to them, and the session goes on", async () => {
    const session = await load(promptOf("examples/moby.mod", { dim: 32, depth: 2, context: 64 }), device, undefined, {
      seed: 0,
      max: { B: 1, T: 8 },
    });
    made = [];
    const before = session.memory;
    const start = performance.now();
    await expect(session.growStates({ B: 4e9 })).rejects.toMatchObject({ code: "limit-exceeded" });
    await expect(session.resetStates({ B: 4e9 })).rejects.toMatchObject({ code: "limit-exceeded" });
    expect(performance.now() - start).toBeLessThan(2000);
    expect([made, session.memory]).toEqual([[], before]);
    session.dispose();
  });

  it("shrink with their states where that is asked for", async () => {
    const program = promptOf("examples/moby.mod", { dim: 32, depth: 2, context: 64 });
    const session = await load(program, device, undefined, { seed: 0, max: { B: 1, T: 8 } });
    const statesOf = (B: number): number => memoryOf(program, { max: { B, T: 8 } }).states;
    await session.growStates({ B: 8 });
    const grown = session.memory.bytes;
    await session.resetStates({ B: 1 });
    expect(session.memory.bytes).toBe(grown);
    await session.resetStates({ B: 2 }, { shrink: true });
    expect(grown - session.memory.bytes).toBe(statesOf(8) - statesOf(2));
    expect(statesOf(8)).toBeGreaterThan(statesOf(2));
    session.dispose();
  });

  it("and what is no extent is told by its value", () => {
    for (const [value, name] of [
      [1e308, "1e+308"],
      [-1, "-1"],
      [0, "0"],
      [-0, "-0"],
      [1.5, "1.5"],
      [NaN, "NaN"],
      ["abc", '"abc"'],
      [null, "null"],
      [2 ** 53 + 2, "9007199254740994"],
      [2 ** 32, "4294967296"],
    ] as const)
      expect(() => memoryOf(open, { max: { B: value as number } }), name).toThrow(
        `max: B is ${name}: it must be a whole number from 1 to 4294967295`,
      );
    expect(() => memoryOf(open, { max: 8 as never })).toThrow("max is 8: it must be an object with sizes by axis");
  });

  it("every slot has a name", { tags: "long" }, () => {
    for (const file of ["golden", "moby", "mor", "p-mod", "llama"]) {
      const { slots } = example(`examples/${file}.mod`);
      expect(slots.filter((s) => s.label === "")).toEqual([]);
    }
    const { slots, outputs } = open;
    expect(outputs.map((o) => slots[o.slot]!.label)).toContain("output");
  });

  it("a slot without a name in a program of another hand has its number", async () => {
    const program = scaleProgram(null);
    const nameless = { ...program, slots: program.slots.map((s) => ({ ...s, label: "" })) };
    await expect(load(nameless, device, undefined, { seed: 0, max: { B: 1e9 } })).rejects.toThrow(/^slot 0 needs /);
  });
});

describe("while it runs", () => {
  it("no buffer is made, whatever is read and however often", async () => {
    const session = await load(moby, device, undefined, { seed: 0, max: { B: 2, T: 64 } });
    const { memory } = session;
    made = [];
    await session.run(tokens(2, 64));
    await session.run(tokens(2, 64), { observe: true });
    await session.run(tokens(1, 7), { observe: true });
    await session.run(tokens(2, 64), { lengths: [64, 3] });
    expect(made).toEqual([]);
    expect(session.memory).toEqual(memory);
    session.dispose();
  });

  it("one that is made all the same is a fault of modc", async () => {
    const allocator = new Allocator(device);
    const descriptor = { label: "late", size: 16, usage: 0x80 };
    await expect(allocator.sealed(async () => allocator.create(descriptor))).rejects.toThrow(
      "modc bug: a buffer (late) is made while a run is under way",
    );
    allocator.destroy(allocator.create(descriptor));
    expect([allocator.made, allocator.bytes]).toEqual([1, 0]);
  });
});

describe("growing", () => {
  it(
    "from 64 tokens to 512 gives the same numbers as a session loaded for 512, with one message",
    { tags: "long" },
    async () => {
      const events: SessionEvent[] = [];
      const small = await load(moby, device, undefined, {
        max: { B: 1, T: 64 },
        seed: 5,
        onProgress: (e) => events.push(e),
      });
      const large = await load(moby, device, undefined, { max: { B: 1, T: 512 }, seed: 5 });
      await small.run(tokens(1, 64));
      const before = small.memory.bytes;
      events.length = 0;
      const [grown, whole] = [
        await small.run(tokens(1, 512, 2), { observe: true }),
        await large.run(tokens(1, 512, 2), { observe: true }),
      ];
      for (const name of Object.keys(whole)) expect(grown[name]!.data).toEqual(whole[name]!.data);
      await small.run(tokens(1, 512, 3));
      await small.run(tokens(1, 200, 4));
      expect(events.map((e) => e.kind)).toEqual(["grow"]);
      expect(events[0]).toMatchObject({
        bytes: large.memory.bytes,
        message: expect.stringMatching(
          /^the buffers of Moby grew to [\d.]+ MiB for B=1 T=512; load it with `max: \{ B: 1, T: 512 \}` to make that room at once$/,
        ),
      });
      expect(small.memory.bytes).toBeGreaterThan(before);
      expect(small.memory.bytes).toBe(large.memory.bytes);
      small.dispose();
      large.dispose();
    },
  );

  it("in two directions at once keeps the prediction: each buffer is as large as its largest run", async () => {
    const session = await load(moby, device, undefined, { seed: 0, max: { B: 1, T: 16 } });
    for (const [B, T] of [
      [8, 4],
      [1, 300],
      [3, 64],
      [2, 300],
    ] as const)
      await session.run(tokens(B, T));
    expect(session.memory.bytes).toBe(live);
    session.dispose();
    expect([session.memory.bytes, live]).toEqual([0, 0]);
  });
});
