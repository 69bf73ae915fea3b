// Opening devices: a device that exists, missing drivers, and lost devices.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Program } from "../../../src/runtime/program/program.js";
import { driverManifests } from "../../../src/runtime/device/drivers-node.js";
import { DeviceLostError, load, openDevice } from "../../../src/runtime/index.js";
import { untar } from "../../../src/runtime/device/swiftshader-node.js";
import { childOf } from "../../child.js";
import { testDevice } from "../../device.js";
import { scaleProgram } from "../run/programs.js";

interface Opened {
  readonly info?: {
    readonly name: string;
    readonly software: boolean;
    readonly subgroups: readonly number[] | null;
    readonly features: readonly string[];
  };
  readonly uncaptured?: number;
  readonly drivers?: string | null;
  /** Of the process; and what the environment asks of Mesa's device once that is open. */
  readonly threads?: number | null;
  readonly asked?: string | null;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string | null;
  /** The text on standard error. */
  readonly said?: string;
}

/** Opens a device in a separate process; fails where anything but one line of JSON is on stdout. */
async function openElsewhere(options: object, env: Readonly<Record<string, string>> = {}): Promise<Opened> {
  const script = childOf(new URL("./children/open-device.ts", import.meta.url));
  const clean = { ...process.env, MODC_DEVICE: "", MODC_NO_FALLBACK: "", ...env };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, JSON.stringify(options)], {
    env: clean,
  });
  return { ...(JSON.parse(stdout) as Opened), said: stderr };
}

const noDriver = { VK_DRIVER_FILES: "/nowhere", VK_ICD_FILENAMES: "/nowhere" };
const onLinux = process.platform === "linux" && process.arch === "x64";

describe("opening a device", () => {
  it("tells what it found, with the adapter's own limits", async () => {
    const device = await testDevice();
    expect(device.info.name).not.toBe("");
    expect(device.info.driver).not.toBe("");
    expect(device.alive).toBe(true);
    expect(device.info.features).toEqual([...device.info.features].sort());
    expect(device.info.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(device.waitMode).toBe(device.info.software ? "backoff" : "native");
  });

  it.runIf(onLinux)("gives each its own driver where two are opened at the same time", async () => {
    const { info } = await openElsewhere({ beside: { kind: "swiftshader" } });
    expect(info?.name).toBe((await testDevice()).info.name);
  });

  it.runIf(onLinux)(
    "unpacks SwiftShader where no driver is found, and keeps stdout and the environment clean",
    async () => {
      const { info, uncaptured, drivers } = await openElsewhere({}, noDriver);
      expect(info).toMatchObject({ name: "SwiftShader", software: true, subgroups: [4, 4] });
      expect(info!.features).not.toContain("shader-f16");
      expect(uncaptured).toBe(1);
      expect(drivers).toBe("/nowhere");
    },
  );

  it.runIf(onLinux)(
    "asks no driver where there is none, so that nothing but Dawn's note on limits reaches stderr",
    async () => {
      for (const options of [{}, { kind: "gpu" }, { fallback: false }]) {
        const { said } = await openElsewhere(options, noDriver);
        expect(said!.replaceAll(/^Warning: maxDynamic\w+ artificially reduced .*\n/gm, "")).toBe("");
      }
    },
  );

  it.runIf(onLinux)("takes SwiftShader's own loader where the system's does not load", async () => {
    const folder = mkdtempSync(join(tmpdir(), "modc-loader-"));
    writeFileSync(join(folder, "libvulkan.so.1"), "");
    const { info, said } = await openElsewhere({}, { LD_LIBRARY_PATH: folder });
    rmSync(folder, { recursive: true });
    expect(info!.name).toBe("SwiftShader");
    expect(said).not.toContain("Couldn't load Vulkan");
  });

  it("finds the manifests of drivers where the Vulkan loader does", () => {
    const root = mkdtempSync(join(tmpdir(), "modc-drivers-"));
    const folder = join(root, "vulkan", "icd.d");
    mkdirSync(folder, { recursive: true });
    const [a, b] = ["a.json", "b.json"].map((name) => join(folder, name));
    for (const path of [a!, b!, join(folder, "notes.txt")]) writeFileSync(path, "{}");
    const none = { XDG_CONFIG_HOME: "/nonexistent", XDG_DATA_HOME: "/nonexistent" };
    expect(driverManifests(none, [])).toEqual([]);
    expect(driverManifests(none, [root])).toEqual([a, b]);
    for (const name of ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS"])
      expect(driverManifests({ ...none, [name]: root }, [])).toEqual([a, b]);
    for (const name of ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]) {
      expect(driverManifests({ ...none, [name]: `/nonexistent${delimiter}${b}` }, [root])).toEqual([b]);
      expect(driverManifests({ ...none, [name]: "/nonexistent" }, [root])).toEqual([]);
    }
    expect(driverManifests({ ...none, VK_ADD_DRIVER_FILES: b }, [root])).toEqual([b, a, b]);
    rmSync(root, { recursive: true });
  });

  it.runIf(onLinux)("says what is missing and the one command that mends it", async () => {
    for (const [options, env] of [
      [{ fallback: false }, {}],
      [{}, { MODC_NO_FALLBACK: "1" }],
    ] as const) {
      const error = await openElsewhere(options, { ...noDriver, ...env });
      expect(error).toMatchObject({ code: "no-device", message: "no GPU and no software device was found" });
      expect(error.hint).toMatch(/install/);
    }
  });

  it.runIf(onLinux)("takes SwiftShader when told to, by an option or the environment", async () => {
    expect((await openElsewhere({ kind: "swiftshader" })).info!.name).toBe("SwiftShader");
    expect((await openElsewhere({}, { MODC_DEVICE: "swiftshader" })).info!.name).toBe("SwiftShader");
    expect(await openElsewhere({}, { MODC_DEVICE: "tpu" })).toMatchObject({
      code: "no-device",
      message: 'MODC_DEVICE is "tpu"',
    });
  });

  it("prefers an installed software driver where software is asked for", async () => {
    const { info } = await openElsewhere({ kind: "software" });
    expect(info!.software).toBe(true);
  });

  it.runIf(onLinux)("gives Mesa's software device as many threads as are asked for", async () => {
    const two = await openElsewhere({ kind: "software", threads: 2 });
    const six = await openElsewhere({ kind: "software", threads: 6 });
    const mesa = /llvmpipe/.test(two.info!.name);
    expect([two.asked, six.asked]).toEqual([null, null]);
    // Mesa starts the same number for graphics.
    if (mesa) expect(six.threads! - two.threads!).toBeGreaterThanOrEqual(4);
    else expect(six.threads).toBe(two.threads);
    const own = await openElsewhere({ kind: "software", threads: 6 }, { LP_NUM_THREADS: "2" });
    expect([own.threads, own.asked]).toEqual([two.threads, "2"]);
  });

  it("refuses software where hardware is asked for", async () => {
    const opened = await openElsewhere({ kind: "gpu" });
    if (opened.info) expect(opened.info.software).toBe(false);
    else
      expect(opened).toMatchObject({ code: "no-device", message: expect.stringMatching(/^no hardware GPU/) as string });
  });
});

describe("a device that goes away", () => {
  const x = { data: new Float32Array(3 * 64), shape: [1, 64, 3] };

  /** The same program, busy for a while. */
  const slowProgram = (): Program => {
    const program = scaleProgram();
    const [kernel] = program.kernels;
    const wgsl = kernel!.wgsl.replace(
      "y[i] = x[i]",
      "var s = x[i]; for (var j = 0u; j < 3000000u; j++) { s = fma(s, 0.999, 0.1); } y[i] = s",
    );
    return { ...program, kernels: [{ ...kernel!, wgsl }] };
  };

  it("fails a run whose results were mapped, and not read yet, as any other", async () => {
    const device = await openDevice();
    const session = await load(scaleProgram(), device);
    await session.run({ x });
    // The buffer that results are read through, as it is mapped for the next run.
    const { prototype } = (device.gpu.createBuffer({ size: 16, usage: 9 }) as object).constructor as {
      prototype: Pick<GPUBuffer, "mapAsync">;
    };
    const own = Object.getOwnPropertyDescriptor(prototype, "mapAsync")!;
    prototype.mapAsync = async function (this: GPUBuffer, ...args) {
      await (own.value as GPUBuffer["mapAsync"]).apply(this, args);
      device.gpu.destroy();
      return undefined;
    };
    try {
      await expect(session.run({ x })).rejects.toBeInstanceOf(DeviceLostError);
    } finally {
      Object.defineProperty(prototype, "mapAsync", own);
    }
  });

  it("fails the pending runs and every later call with an error of its own", async () => {
    const device = await openDevice();
    const session = await load(slowProgram(), device);
    await session.run({ x });
    const pending = [session.run({ x }), session.run({ x })].map((run) =>
      run.then(
        () => null,
        (e: unknown) => e,
      ),
    );
    // The first run is on the device by now, the second waits for its turn.
    await new Promise((resolve) => setTimeout(resolve, 5));
    device.destroy();
    for (const error of await Promise.all(pending)) {
      expect(error).toBeInstanceOf(DeviceLostError);
      expect((error as DeviceLostError).reason).toBe("destroyed");
    }
    await expect(session.run({ x })).rejects.toBeInstanceOf(DeviceLostError);
    await expect(load(scaleProgram(), device)).rejects.toBeInstanceOf(DeviceLostError);
    expect((await device.lost).code).toBe("device-lost");
    expect(device.alive).toBe(false);
    session.dispose();
  });

  it("fails a load under way", async () => {
    const device = await openDevice();
    const loading = load(scaleProgram(), device).then(
      () => null,
      (e: unknown) => e,
    );
    await Promise.resolve();
    device.destroy();
    expect(await loading).toBeInstanceOf(DeviceLostError);
  });

  it("is told of calls that it refuses before it says that it is lost", async () => {
    const device = await openDevice();
    const refused = (): Promise<never> => Promise.reject(new DOMException("", "OperationError"));
    await expect(device.wait(refused)).rejects.toMatchObject({ name: "OperationError" });
    const pending = device.wait(refused);
    device.gpu.destroy();
    await expect(pending).rejects.toThrow(DeviceLostError);
  });

  it("is noticed when someone else destroys the GPUDevice", async () => {
    const device = await openDevice();
    const session = await load(slowProgram(), device);
    await session.run({ x });
    const pending = session.run({ x }).then(
      () => null,
      (e: unknown) => e,
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
    device.gpu.destroy();
    expect(await pending).toBeInstanceOf(DeviceLostError);
    await expect(session.run({ x })).rejects.toBeInstanceOf(DeviceLostError);
  });
});

describe("an archive", () => {
  /** An entry for a tar archive. */
  const entry = (name: string, data: Uint8Array, type = "0", prefix = ""): Uint8Array => {
    const block = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
    const put = (text: string, at: number): void => block.set(new TextEncoder().encode(text), at);
    put(name, 0);
    put("0000755\0", 100);
    put(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    put("        ", 148);
    put(type, 156);
    put(prefix, 345);
    put(
      `${block
        .subarray(0, 512)
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    block.set(data, 512);
    return block;
  };
  const archive = (...entries: Uint8Array[]): Uint8Array =>
    new Uint8Array([...entries.flatMap((e) => [...e]), ...new Uint8Array(1024)]);
  const data = new TextEncoder().encode("hello");

  it("gives its files", () => {
    const files = untar(
      archive(entry("dir/", new Uint8Array(0), "5"), entry("a.so", data), entry("b", new Uint8Array(0))),
    );
    expect(files.map((f) => [f.name, f.executable, new TextDecoder().decode(f.data)])).toEqual([
      ["a.so", true, "hello"],
      ["b", true, ""],
    ]);
  });

  const refused: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["a path upwards", archive(entry("../a", data)), /unexpected file name/],
    ["an absolute path", archive(entry("/etc/a", data)), /unexpected file name/],
    ["a hidden prefix", archive(entry("a", data, "0", "..")), /unexpected file name/],
    ["a link", archive(entry("a", new Uint8Array(0), "2")), /type "2"/],
    ["a device", archive(entry("a", new Uint8Array(0), "3")), /type "3"/],
    ["a name twice", archive(entry("a", data), entry("a", data)), /unexpected file name/],
    ["no end", entry("a", data), /no end mark/],
    ["too little data", archive(entry("a", new Uint8Array(4000))).slice(0, 1024), /ends beyond it/],
    ["no archive", new Uint8Array(1024).fill(65), /number is missing|wrong checksum/],
  ];
  for (const [what, bytes, message] of refused)
    it(`with ${what} is refused`, () => expect(() => untar(bytes)).toThrow(message));
});
