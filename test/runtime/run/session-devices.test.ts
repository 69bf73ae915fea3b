// Sessions on both software devices: any batch and length, rows unfolded, states kept from run to run.
import { beforeAll, describe, expect, it } from "vitest";
import { type Device, load, type SessionEvent } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { aboveProgram, scaleProgram, stateProgram } from "./programs.js";

for (const which of ["default", "swiftshader"] as const) {
  describe(`a session on the ${which} device`, () => {
    let device: Device;
    beforeAll(async () => {
      device = await testDevice(which);
    });

    it("answers any batch and length without another pipeline or buffer", async () => {
      const events: SessionEvent[] = [];
      const session = await load(scaleProgram(), device, undefined, {
        max: { B: 3 },
        onProgress: (e) => events.push(e),
      });
      const before = session.memory;
      // A software device compiles a kernel at its first dispatch, where no session before has done so.
      await session.run({ x: { data: new Float32Array(3).fill(0.5), shape: [1, 1, 3] } });
      events.length = 0;
      for (const [B, T] of [
        [1, 1],
        [3, 64],
        [2, 7],
        [3, 1],
      ] as const) {
        const x = Float32Array.from({ length: B * T * 3 }, (_, i) => Math.sin(i + B));
        const { output } = await session.run({ x: { data: x, shape: [B, T, 3] } });
        expect(output!.shape).toEqual([B, T, 3]);
        expect(Array.from(output!.data)).toEqual(Array.from(x, (v) => Math.fround(Math.fround(v * 2) + 1)));
      }
      expect(session.memory).toEqual(before);
      expect(events).toEqual([]);
      session.dispose();
    });

    it("grows its buffers for a larger run, says so, and keeps the weights", async () => {
      const events: SessionEvent[] = [];
      const session = await load(scaleProgram(null), device, undefined, { onProgress: (e) => events.push(e) });
      events.length = 0;
      const { output } = await session.run({
        x: [
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
          [
            [7, 8, 9],
            [0, 0, 0],
          ],
        ],
      });
      expect(output!.toArray()).toEqual([
        [
          [3, 5, 7],
          [9, 11, 13],
        ],
        [
          [15, 17, 19],
          [1, 1, 1],
        ],
      ]);
      expect(events.map((e) => e.kind).filter((kind) => kind !== "kernels")).toEqual(["grow"]);
      session.dispose();
    });

    it("drops what lies beyond a sequence's end and gives zeros there", async () => {
      const session = await load(scaleProgram(), device);
      const x = [
        [
          [1, 1, 1],
          [2, 2, 2],
        ],
        [
          [NaN, NaN, NaN],
          [9, 9, 9],
        ],
        [
          [3, 3, 3],
          [9, 9, 9],
        ],
      ];
      const { output } = await session.run({ x }, { lengths: [2, 0, 1] });
      expect(output!.toArray()).toEqual([
        [
          [3, 3, 3],
          [5, 5, 5],
        ],
        [
          [0, 0, 0],
          [0, 0, 0],
        ],
        [
          [7, 7, 7],
          [0, 0, 0],
        ],
      ]);
      const { output: none } = await session.run({ x }, { lengths: [0, 0, 0] });
      expect(none!.data.every((v) => v === 0)).toBe(true);
      session.dispose();
    });

    it("unfolds rows whose counts only the device knows, to the longest of them", async () => {
      const session = await load(aboveProgram, device);
      const score = [
        [1, -1, 2, -3],
        [-1, -1, -1, -1],
        [-1, 5, 6, 7],
      ];
      const { "chosen.index": index } = await session.run({ score }, { observe: ["chosen"] });
      expect(index!.toArray()).toEqual([
        [0, 2, 0],
        [0, 0, 0],
        [1, 2, 3],
      ]);
      const { "chosen.index": shorter } = await session.run({ score }, { observe: true, lengths: [1, 4, 2] });
      expect(shorter!.toArray()).toEqual([[0], [0], [1]]);
      const { "chosen.index": none } = await session.run({ score: [[-1]] }, { outputs: ["chosen.index"] });
      expect(none!.shape).toEqual([1, 0]);
      expect(none!.toArray()).toEqual([[]]);
      session.dispose();
    });

    it("keeps states from run to run, copies and clears", async () => {
      const session = await load(stateProgram, device);
      await session.run({ x: [4] });
      const { total, copy, cleared } = await session.run({ x: Int32Array.of(-1, 2, 3) });
      expect(total!.toArray()).toBe(5);
      expect(copy!.toArray()).toEqual([-1, 2, 3]);
      expect(cleared!.toArray()).toEqual([false, true, true]);
      session.dispose();
    });
  });
}
