// The self-test of a GPU's features, as a process of its own runs it. That process is given the text of the function,
// which therefore refers to nothing outside itself.

/** What the process is told. */
export interface SelfTestTask {
  /** Toggles of Dawn, as `create` takes them. */
  readonly flags: readonly string[];
  /** A fault to commit, by which tests prove what comes of it; null: none. */
  readonly fault: string | null;
}

/** What the process tells, a line for each, as soon as it knows. */
export type SelfTestLine =
  | {
      readonly kind: "adapter";
      readonly vendor: string;
      readonly device: string;
      readonly description: string;
      /** Whether the adapter lists f16. */
      readonly f16: boolean;
      /** How many configurations of matrix units for f16 the adapter lists. */
      readonly matrices: number;
    }
  | {
      readonly kind: "sum";
      readonly a: readonly number[];
      readonly b: readonly number[];
      readonly sum: readonly number[];
    }
  | {
      readonly kind: "product";
      readonly m: number;
      readonly n: number;
      readonly k: number;
      /** Rows one after the other, as all three. */
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

/** Adds in f16, then multiplies by each configuration of matrix units for f16. Values are such that results are exact. */
export async function selfTest(
  create: (flags: string[]) => GPU,
  { flags, fault }: SelfTestTask,
  tell: (line: SelfTestLine) => void,
): Promise<void> {
  const MATRIX = "chromium-experimental-subgroup-matrix";
  const gpu = create([...flags]);

  async function adapterOf(): Promise<GPUAdapter> {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error("no adapter");
    return adapter;
  }

  /** The bits of a number that f16 has exactly, and is no subnormal. */
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

  /** Runs one workgroup of a shader with two inputs in f16 and one result; the bytes of the result. */
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

  /** Small whole numbers, so different that rows and columns cannot be mistaken for each other. */
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

  async function multiply({ M: m, N: n, K: k, resultComponentType: type }: MatrixConfig): Promise<void> {
    const adapter = await adapterOf();
    const wanted = ["shader-f16", "subgroups", MATRIX] as GPUFeatureName[];
    const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = adapter.limits;
    const device = await adapter.requestDevice({
      requiredFeatures: wanted,
      requiredLimits: { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX },
    });
    const [left, right] = [numbers(m * k, 5), numbers(k * n, 11)];
    const wide = type === "f32";
    const result = await run(
      device,
      `enable f16; enable chromium_experimental_subgroup_matrix;
      @group(0) @binding(0) var<storage, read> a: array<f16>;
      @group(0) @binding(1) var<storage, read> b: array<f16>;
      @group(0) @binding(2) var<storage, read_write> c: array<${type}>;
      @compute @workgroup_size(${adapter.info.subgroupMaxSize}) fn main() {
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&a, 0u, ${k}u);
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&b, 0u, ${n}u);
        var sum: subgroup_matrix_result<${type}, ${n}, ${m}>;
        sum = subgroupMatrixMultiplyAccumulate(left, right, sum);
        subgroupMatrixStore<row_major>(&c, 0u, sum, ${n}u);
      }`,
      [left, right],
      m * n * (wide ? 4 : 2),
    );
    const product = wide ? [...new Float32Array(result)] : [...new Uint16Array(result)].map(valueOf);
    tell({ kind: "product", m, n, k, left, right, product });
    device.destroy();
  }

  const { info, features } = await adapterOf();
  // Beyond WebGPU's own types.
  const listed = (info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> }).subgroupMatrixConfigs ?? [];
  const matrices = features.has(MATRIX) ? [...listed].filter(({ componentType }) => componentType === "f16") : [];
  const f16 = features.has("shader-f16");
  tell({
    kind: "adapter",
    vendor: info.vendor,
    device: info.device,
    description: info.description,
    f16,
    matrices: f16 ? matrices.length : 0,
  });
  if (fault === "abort") process.abort();
  if (fault === "hang") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (!f16) return;
  await add();
  if (fault === "abort-product") process.abort();
  for (const config of matrices) await multiply(config);
  if (fault === "product") tell({ kind: "product", m: 1, n: 1, k: 1, left: [2], right: [3], product: [7] });
}

/**
 * The process's program, as a module. Its arguments are the address of Dawn's package and the task without its fault. A
 * bundler may give functions their names by a helper of its own.
 */
export const selfTestProgram = (): string => `const __name = (f) => f;
  const test = ${selfTest.toString()};
  const { create } = await import(process.argv[1]);
  const task = { ...JSON.parse(process.argv[2]), fault: process.env.MODC_SELF_TEST_FAULT ?? null };
  await test(create, task, (line) => process.stdout.write(JSON.stringify(line) + "\\n"));
  process.stdout.write("", () => process.exit(0));`;
