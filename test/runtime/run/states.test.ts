// States: read and written whole, shared between sessions by name, and runs under way side by side.
import { beforeAll, describe, expect, it } from "vitest";
import { type Device, InputError, load } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { stateProgram } from "./programs.js";

const [state] = stateProgram.states;
const name = state!.name;

describe("the states of a session", () => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });

  it("are read and written whole", async () => {
    const session = await load(stateProgram, device);
    for (let i = 0; i < 3; i++) await session.run({ x: [0] });
    const before = await session.readStates();
    expect([...before].map(([n, v]) => [n, [...v.data]])).toEqual([[name, [3]]]);
    await session.writeStates(new Map([[name, { data: Uint32Array.of(40) }]]));
    const { total } = await session.run({ x: [0] });
    expect(total!.toArray()).toBe(41);
    session.dispose();
  });

  it("refuse what does not fit, and stay as they were", async () => {
    const session = await load(stateProgram, device);
    await session.run({ x: [0] });
    await expect(session.readStates(["nothing"])).rejects.toThrow(/no state nothing/);
    await expect(session.writeStates(new Map([["nothing", { data: Uint32Array.of(1) }]]))).rejects.toThrow(InputError);
    await expect(
      session.writeStates(
        new Map([
          [name, { data: Uint32Array.of(9) }],
          ["nothing", { data: Uint32Array.of(1) }],
        ]),
      ),
    ).rejects.toThrow(/no state/);
    await expect(session.writeStates(new Map([[name, { data: Uint32Array.of(1, 2) }]]))).rejects.toThrow(/of 2/);
    await expect(session.writeStates(new Map([[name, { data: Float32Array.of(1) }]]))).rejects.toThrow(/Float32Array/);
    expect([...(await session.readStates([name])).get(name)!.data]).toEqual([1]);
    session.dispose();
  });

  it("are one for sessions that share them, and cost the second nothing", async () => {
    const owner = await load(stateProgram, device);
    const other = await load(stateProgram, device, undefined, { statesOf: owner });
    expect(other.memory.buffers).toBe(owner.memory.buffers - 1);
    await owner.run({ x: [0] });
    const { total } = await other.run({ x: [0] });
    expect(total!.toArray()).toBe(2);
    expect([...(await owner.readStates()).get(name)!.data]).toEqual([2]);
    other.dispose();
    await owner.run({ x: [0] });
    expect([...(await owner.readStates()).get(name)!.data]).toEqual([3]);
    owner.dispose();
    await expect(load(stateProgram, device, undefined, { statesOf: owner })).rejects.toThrow(/disposed/);
  });

  it("change in the order of the calls of all sessions that share them", async () => {
    const owner = await load(stateProgram, device, undefined, { compile: "run" });
    const other = await load(stateProgram, device, undefined, { compile: "run", statesOf: owner });
    // The first run of a session compiles, and one of another size waits for those before it.
    const lengths = [3, 1, 2, 1, 1, 4, 1, 2, 2, 1];
    const seen = await Promise.all(
      lengths.map((length, i) => [owner, other][i % 2]!.run({ x: Array.from({ length }, () => 0) })),
    );
    expect(seen.map((r) => r["total"]!.toArray())).toEqual(lengths.map((_, i) => i + 1));
    other.dispose();
    owner.dispose();
  });

  it("are shared with those who have them in the same shape only", async () => {
    const owner = await load(stateProgram, device);
    const renamed = { ...stateProgram, states: [{ ...state!, name: "other" }] };
    await expect(load(renamed, device, undefined, { statesOf: owner })).rejects.toThrow(/has no state other/);
    const reshaped = { ...stateProgram, states: [{ ...state!, shape: [2] }] };
    await expect(load(reshaped, device, undefined, { statesOf: owner })).rejects.toThrow(/u32\[2\]/);
    owner.dispose();
  });

  it("change run by run though several are under way", async () => {
    const session = await load(stateProgram, device, undefined, { inFlight: 3 });
    const { buffers } = session.memory;
    const runs = Array.from({ length: 10 }, () => session.run({ x: [0] }));
    const seen = (await Promise.all(runs)).map((r) => r["total"]!.toArray());
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => i + 1));
    expect(session.memory.buffers).toBe(buffers);
    session.dispose();
  });

  it("survive sizes that change while runs are under way", async () => {
    const session = await load(stateProgram, device, undefined, { inFlight: 2 });
    const runs = Array.from({ length: 9 }, (_, i) =>
      session.run({ x: Array.from({ length: 1 + ((i * 7) % 4) }, (_x, j) => (i + j) % 5) }),
    );
    const results = await Promise.all(runs);
    results.forEach((r, i) =>
      expect(r["copy"]!.toArray()).toEqual(Array.from({ length: 1 + ((i * 7) % 4) }, (_x, j) => (i + j) % 5)),
    );
    session.dispose();
  });

  it.each([0, 9, 1.5])("refuse %s runs at once", async (inFlight) => {
    await expect(load(stateProgram, device, undefined, { inFlight })).rejects.toThrow(/inFlight/);
  });
});
