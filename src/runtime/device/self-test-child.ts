// The self-test of a GPU's features, which runs in a separate process. The process receives the function's text, so the
// function refers to nothing outside itself.

/** The task of the process. */
export interface SelfTestTask {
  /** Dawn's toggles, in the format of `create` of the package webgpu. */
  readonly flags: readonly string[];
  /** The narrowest subgroup size that a kernel requests. */
  readonly narrowest: number;
  /** A fault to inject, with which tests check the consequences; null: none. */
  readonly fault: string | null;
}

/** The reports of the process, one line each, printed as soon as a result is known. */
export type SelfTestLine =
  | {
      readonly kind: "adapter";
      readonly vendor: string;
      readonly device: string;
      readonly description: string;
      /** Whether the adapter lists f16. */
      readonly f16: boolean;
      /** The number of matrix-unit configurations for f16 that the adapter lists. */
      readonly matrices: number;
      /** The number of f16 configurations that can load vectors of eight halves. */
      readonly vectors: number;
      /** Whether its subgroups have several sizes, one of which a kernel may request. */
      readonly pins: boolean;
    }
  | {
      readonly kind: "sum";
      readonly a: readonly number[];
      readonly b: readonly number[];
      readonly sum: readonly number[];
    }
  | {
      /** Subgroups of the size that their kernel requests, in a workgroup of two subgroups. */
      readonly kind: "pinned";
      readonly width: number;
      /** For each lane: its subgroup's size, and its index in the workgroup computed from that size. */
      readonly sizes: readonly number[];
      readonly places: readonly number[];
      /** For each lane: the sum of these indices over its subgroup, by shuffles. */
      readonly sums: readonly number[];
    }
  | {
      readonly kind: "product";
      /**
       * Whether the operands were rounded to halves and stored in workgroup memory as vectors of eight, k innermost.
       */
      readonly vectors: boolean;
      readonly m: number;
      readonly n: number;
      readonly k: number;
      /** Row-major, like all three matrices. */
      readonly left: readonly number[];
      readonly right: readonly number[];
      readonly product: readonly number[];
    };

/** A configuration of matrix units, as Dawn lists it. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * Adds in f16, multiplies with each matrix-unit configuration for f16, requests a subgroup size, and multiplies
 * operands in the layout of `matmul_matrix.wgsl`. Values are chosen so that results are exact.
 */
export async function selfTest(
  create: (flags: string[]) => GPU,
  { flags, narrowest, fault }: SelfTestTask,
  tell: (line: SelfTestLine) => void,
): Promise<void> {
  const MATRIX = "chromium-experimental-subgroup-matrix";
  const PINS = "subgroup-size-control";
  const gpu = create([...flags]);

  async function adapterOf(): Promise<GPUAdapter> {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error("no adapter");
    return adapter;
  }

  /** The bits of a number that f16 represents exactly as a normal number. */
  function bitsOf(value: number): number {
    if (value === 0) return 0;
    const exponent = Math.floor(Math.log2(Math.abs(value)));
    const fraction = (Math.abs(value) / 2 ** exponent - 1) * 1024;
    return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
  }

  function valueOf(bits: number): number {
    const exponent = (bits >> 10) & 31;
    const size = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1024 + (bits & 1023)) * 2 ** (exponent - 25);
    return bits & 0x8000 ? -size : size;
  }

  /** Runs one workgroup of a shader with two f16 inputs and one result. Returns the bytes of the result. */
  async function run(
    device: GPUDevice,
    code: string,
    inputs: readonly (readonly number[])[],
    bytes: number,
  ): Promise<ArrayBuffer> {
    const buffers = inputs.map((values) => {
      const buffer = device.createBuffer({
        size: Math.ceil(values.length / 2) * 4,
        usage: 128,
        mappedAtCreation: true,
      });
      new Uint16Array(buffer.getMappedRange()).set(values.map(bitsOf));
      buffer.unmap();
      return buffer;
    });
    const result = device.createBuffer({ size: bytes, usage: 128 | 4 });
    const back = device.createBuffer({ size: bytes, usage: 1 | 8 });
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }) },
    });
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [...buffers, result].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(result, 0, back, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(1);
    return back.getMappedRange().slice(0);
  }

  /** Small integers, so varied that swapped rows or columns change the result. */
  const numbers = (count: number, seed: number): number[] =>
    Array.from({ length: count }, (_, i) => (((i * i + seed * i) % 31) % 9) - 4);

  async function add(): Promise<void> {
    const device = await (await adapterOf()).requestDevice({ requiredFeatures: ["shader-f16"] });
    const [a, b] = [5, 11].map((seed) => numbers(32, seed).map((x) => x / 4)) as [number[], number[]];
    const result = await run(
      device,
      `enable f16;
      @group(0) @binding(0) var<storage, read> a: array<f16>;
      @group(0) @binding(1) var<storage, read> b: array<f16>;
      @group(0) @binding(2) var<storage, read_write> sum: array<f32>;
      @compute @workgroup_size(32) fn main(@builtin(local_invocation_index) i: u32) { sum[i] = f32(a[i] + b[i]); }`,
      [a, b],
      128,
    );
    const sum = [...new Float32Array(result)];
    if (fault === "sum") sum[7]! += 1;
    tell({ kind: "sum", a, b, sum });
    device.destroy();
  }

  async function deviceWith(wanted: readonly string[]): Promise<GPUDevice> {
    const adapter = await adapterOf();
    const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = adapter.limits;
    return adapter.requestDevice({
      requiredFeatures: wanted as GPUFeatureName[],
      requiredLimits: { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX },
    });
  }

  async function multiply(
    { M: m, N: n, K: k, resultComponentType: type }: MatrixConfig,
    vectors: boolean,
  ): Promise<void> {
    const device = await deviceWith(["shader-f16", "subgroups", MATRIX]);
    const [left, right] = [numbers(m * k, 5), numbers(k * n, 11)];
    const wide = type === "f32";
    const result = await run(
      device,
      `enable f16; enable chromium_experimental_subgroup_matrix;
      @group(0) @binding(0) var<storage, read> a: array<f16>;
      @group(0) @binding(1) var<storage, read> b: array<f16>;
      @group(0) @binding(2) var<storage, read_write> c: array<${type}>;
      ${vectors ? inVectors(m, n, k) : ""}
      @compute @workgroup_size(${info.subgroupMaxSize})
      fn main(@builtin(local_invocation_index) lane: u32) {
        ${vectors ? "bring(lane);" : ""}
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(
          ${vectors ? `&tile, 0u, ${k / 8}u` : `&a, 0u, ${k}u`});
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, ${vectors ? "col_major" : "row_major"}>(
          ${vectors ? `&tile, ${(m * k) / 8}u, ${k / 8}u` : `&b, 0u, ${n}u`});
        var sum: subgroup_matrix_result<${type}, ${n}, ${m}>;
        sum = subgroupMatrixMultiplyAccumulate(left, right, sum);
        subgroupMatrixStore<row_major>(&c, 0u, sum, ${n}u);
      }`,
      [left, right],
      m * n * (wide ? 4 : 2),
    );
    const product = wide ? [...new Float32Array(result)] : [...new Uint16Array(result)].map(valueOf);
    tell({ kind: "product", vectors, m, n, k, left, right, product });
    device.destroy();
  }

  /**
   * The rows of a, then the columns of b, as vectors of eight halves. The shader rounds numbers slightly above or below
   * a half, so that the nearest half is the original value.
   */
  function inVectors(m: number, n: number, k: number): string {
    return `var<workgroup> tile: array<vec4<u32>, ${((m + n) * k) / 8}>;
      fn near(x: f16, above: bool) -> f32 { return f32(x) * select(1.0 - 0x1p-13, 1.0 + 0x1p-13, above); }
      fn two(x: f16, y: f16, above: bool) -> u32 {
        return bitcast<u32>(vec2<f16>(vec2f(near(x, above), near(y, !above))));
      }
      fn ofA(at: u32) -> u32 { return two(a[at], a[at + 1u], at % 16u < 8u); }
      fn ofB(k: u32, n: u32) -> u32 { return two(b[k * ${n}u + n], b[(k + 1u) * ${n}u + n], n % 2u == 0u); }
      fn bring(lane: u32) {
        for (var i = lane; i < ${(m * k) / 8}u; i += ${info.subgroupMaxSize}u) {
          tile[i] = vec4<u32>(ofA(8u * i), ofA(8u * i + 2u), ofA(8u * i + 4u), ofA(8u * i + 6u));
        }
        for (var i = lane; i < ${(n * k) / 8}u; i += ${info.subgroupMaxSize}u) {
          let c = i / ${k / 8}u;
          let r = i % ${k / 8}u * 8u;
          tile[${(m * k) / 8}u + i] = vec4<u32>(ofB(r, c), ofB(r + 2u, c), ofB(r + 4u, c), ofB(r + 6u, c));
        }
        workgroupBarrier();
      }`;
  }

  async function pin(width: number): Promise<void> {
    const device = await deviceWith(["subgroups", PINS]);
    const zeros = numbers(2, 1);
    const result = await run(
      device,
      `enable subgroups; enable subgroup_size_control;
      @group(0) @binding(0) var<storage, read> a: array<u32>;
      @group(0) @binding(1) var<storage, read> b: array<u32>;
      @group(0) @binding(2) var<storage, read_write> found: array<vec4u>;
      @compute @subgroup_size(${width}) @workgroup_size(${2 * width})
      fn main(
        @builtin(local_invocation_index) i: u32,
        @builtin(subgroup_size) size: u32,
        @builtin(subgroup_id) subgroup: u32,
        @builtin(subgroup_invocation_id) member: u32,
      ) {
        let place = subgroup * ${width}u + member;
        var sum = place;
        for (var d = 1u; d < ${width}u; d *= 2u) { sum += subgroupShuffleXor(sum, d); }
        found[i] = vec4u(size, place, sum, a[0] + b[0]);
      }`,
      [zeros, zeros],
      2 * width * 16,
    );
    const words = [...new Uint32Array(result)];
    const column = (c: number): number[] => words.filter((_, i) => i % 4 === c);
    const [sizes, places, sums] = [column(0), column(1), column(2)];
    tell({ kind: "pinned", width, sizes, places, sums });
    device.destroy();
  }

  const { info, features } = await adapterOf();
  // Not among WebGPU's own types.
  const listed = (info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> }).subgroupMatrixConfigs ?? [];
  const matrices = features.has(MATRIX) ? [...listed].filter(({ componentType }) => componentType === "f16") : [];
  const f16 = features.has("shader-f16");
  const [least, most] = [info.subgroupMinSize, info.subgroupMaxSize];
  const width = 2 ** Math.ceil(Math.log2(Math.max(narrowest, least)));
  const pins = features.has("subgroups") && features.has(PINS) && least < most && width <= most;
  tell({
    kind: "adapter",
    vendor: info.vendor,
    device: info.device,
    description: info.description,
    f16,
    matrices: f16 ? matrices.length : 0,
    vectors: f16 ? matrices.filter(({ K }) => K % 8 === 0).length : 0,
    pins,
  });
  if (fault === "abort") process.abort();
  if (fault === "hang") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (f16) {
    await add();
    if (fault === "abort-product") process.abort();
    for (const config of matrices) await multiply(config, false);
    const wrong = { kind: "product", m: 1, n: 1, k: 1, left: [2], right: [3], product: [7] } as const;
    if (fault === "product") tell({ ...wrong, vectors: false });
    if (fault === "vectors") tell({ ...wrong, vectors: true });
  }
  if (pins) await pin(width);
  if (fault === "abort-vectors") process.abort();
  if (f16) for (const config of matrices) if (config.K % 8 === 0) await multiply(config, true);
}

/**
 * The program of the process, as a module. Its arguments are the address of Dawn's package and the task without its
 * fault. Bundlers may name functions through the helper `__name`, which is defined here.
 */
export const selfTestProgram = (): string => `const __name = (f) => f;
  const test = ${selfTest.toString()};
  const { create } = await import(process.argv[1]);
  const task = { ...JSON.parse(process.argv[2]), fault: process.env.MODC_SELF_TEST_FAULT ?? null };
  await test(create, task, (line) => process.stdout.write(JSON.stringify(line) + "\\n"));
  process.stdout.write("", () => process.exit(0));`;
