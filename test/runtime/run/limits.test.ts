// A device that binds little: what is compiled for it fits it, what is not is refused by name, with the remedy.
import { beforeAll, describe, expect, it } from "vitest";
import { compile, type CompileOptions } from "../../../src/compiler/compile.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { type Device, LimitError, load, memoryOf, openDevice } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { MODELS, SMALL, VOCABULARY } from "../../compiler/schedule/vocabularies.js";

const program = (source: string, options: CompileOptions): Program => {
  const made = compile(source, options).program;
  if (!made) throw new Error("the model does not compile");
  return made;
};
const tied = MODELS["one table for both ends"]!;
const tokens = { data: Uint32Array.from({ length: 24 }, (_, i) => (i * 997) % VOCABULARY), shape: [2, 12] };

let device: Device;
/** The largest buffer that any bind group of the device was made with. */
let bound = 0;
beforeAll(async () => {
  const own = await testDevice();
  const limits = new Proxy(own.gpu.limits, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      return name === "maxStorageBufferBindingSize" ? SMALL : value;
    },
  });
  const gpu = new Proxy(own.gpu, {
    get(target, name) {
      if (name === "limits") return limits;
      if (name === "createBindGroup")
        return (d: GPUBindGroupDescriptor): GPUBindGroup => {
          for (const { binding, resource } of d.entries)
            if (binding > 0 && "buffer" in resource) bound = Math.max(bound, resource.buffer.size);
          return target.createBindGroup(d);
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  device = await openDevice({ device: gpu });
});

describe("a device that binds 128 KiB", () => {
  it("is told so to the compiler", () => {
    expect(device.target.limits.storageBindingBytes).toBe(SMALL);
  });

  it.each(Object.entries(MODELS))(
    "runs what is compiled for it, and binds nothing beyond: %s",
    async (_name, source) => {
      const own = program(source, { target: device.target });
      bound = 0;
      const session = await load(own, device, undefined, { seed: 0, max: { B: 2, T: 12 } });
      expect(session.memory.bytes).toBe(
        memoryOf(own, { uniformAlignment: device.info.limits.minUniformBufferOffsetAlignment }).total,
      );
      const results = await session.run({ tokens });
      expect(Object.values(results)[0]!.shape).toEqual([2, 12, VOCABULARY]);
      expect(bound).toBeGreaterThan(SMALL / 2);
      expect(bound).toBeLessThanOrEqual(SMALL);
      session.dispose();
    },
  );

  it("refuses what is compiled for others, naming the weight and the remedy", async () => {
    const refused = load(program(tied, {}), device, undefined, { seed: 0 });
    await expect(refused).rejects.toThrow(LimitError);
    await expect(refused).rejects.toMatchObject({
      label: expect.stringMatching(/^embed/),
      limit: "maxStorageBufferBindingSize",
      allowed: SMALL,
    });
    await expect(refused).rejects.toMatchObject({
      hint: expect.stringContaining("compile with `target: device.target`"),
    });
  });

  it("refuses rows that cannot be cut, and runs on with fewer", async () => {
    const unbounded = tied.replaceAll("B <= 2, T <= 12", "B, T").replace("dim: int = 32", "dim: int = 64");
    const session = await load(program(unbounded, { target: device.target }), device, undefined, {
      seed: 0,
      max: { B: 2, T: 12 },
    });
    const long = session.run({ tokens: { data: new Uint32Array(600), shape: [1, 600] } });
    await expect(long).rejects.toMatchObject({
      code: "limit-exceeded",
      limit: "maxStorageBufferBindingSize",
      hint: expect.stringContaining("shorter inputs"),
    });
    expect(Object.values(await session.run({ tokens }))[0]!.shape).toEqual([2, 12, VOCABULARY]);
    session.dispose();
  });
});
