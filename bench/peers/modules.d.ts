// The parts of the peers' libraries that the bench calls, so that the checkout type-checks without its packages.

declare module "onnxruntime-node" {
  export class Tensor {
    constructor(type: "float32", data: Float32Array, dims: readonly number[]);
    constructor(type: "int64", data: BigInt64Array, dims: readonly number[]);
    constructor(type: "int32", data: Int32Array, dims: readonly number[]);
    constructor(type: "float16", data: Uint16Array, dims: readonly number[]);
    readonly data: unknown;
    readonly dims: readonly number[];
  }
  export interface InferenceSession {
    readonly inputNames: readonly string[];
    readonly outputNames: readonly string[];
    readonly inputMetadata: readonly {
      readonly name: string;
      readonly type: string;
      readonly shape: readonly (number | string)[];
    }[];
    run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
    release(): Promise<void>;
  }
  export const InferenceSession: {
    create(
      model: Uint8Array,
      options: {
        readonly executionProviders: readonly ("webgpu" | "cpu")[];
        readonly logSeverityLevel: 0 | 1 | 2 | 3 | 4;
        readonly intraOpNumThreads?: number;
      },
    ): Promise<InferenceSession>;
  };
}

declare module "@tensorflow/tfjs-core" {
  export interface Tensor {
    readonly shape: readonly number[];
    data(): Promise<ArrayLike<number>>;
    dispose(): void;
  }
  export interface Variable extends Tensor {
    readonly name: string;
    assign(value: Tensor): void;
  }
  export function variable(value: Tensor, trainable: boolean): Variable;
  export function variableGrads(
    f: () => Tensor,
    variables: Variable[],
  ): { readonly value: Tensor; readonly grads: Readonly<Record<string, Tensor>> };
  export function customGrad<Given extends Tensor[]>(
    f: (...given: Given) => { readonly value: Tensor; readonly gradFunc: (dy: Tensor) => Tensor | Tensor[] },
  ): (...given: Given) => Tensor;
  export function keep(x: Tensor): Tensor;
  export function clone(x: Tensor): Tensor;
  export function zeros(shape: number[]): Tensor;
  export function ones(shape: number[]): Tensor;
  export function zerosLike(x: Tensor): Tensor;
  export function stack(all: Tensor[]): Tensor;
  export function sub(a: Tensor, b: Tensor): Tensor;
  export function div(a: Tensor | number, b: Tensor): Tensor;
  export function minimum(a: Tensor | number, b: Tensor): Tensor;
  export function sqrt(x: Tensor): Tensor;
  export function sum(x: Tensor, axis?: number): Tensor;
  export function softplus(x: Tensor): Tensor;
  export function logSoftmax(x: Tensor): Tensor;
  export function oneHot(x: Tensor, classes: number): Tensor;
  export function scatterND(index: Tensor, rows: Tensor, shape: number[]): Tensor;
  export function env(): { set(flag: string, value: boolean): void };
  export function setBackend(name: string): Promise<boolean>;
  export function ready(): Promise<void>;
  export function tensor(data: Float32Array | Int32Array, shape: number[], dtype: "float32" | "int32"): Tensor;
  export function tidy(f: () => Tensor): Tensor;
  export function matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  export function add(a: Tensor, b: Tensor | number): Tensor;
  export function mul(a: Tensor, b: Tensor | number): Tensor;
  export function neg(x: Tensor): Tensor;
  export function square(x: Tensor): Tensor;
  export function rsqrt(x: Tensor): Tensor;
  export function erf(x: Tensor): Tensor;
  export function sigmoid(x: Tensor): Tensor;
  export function softmax(x: Tensor): Tensor;
  export function mean(x: Tensor, axis?: number, keepDims?: boolean): Tensor;
  export function argMax(x: Tensor, axis: number): Tensor;
  export function min(x: Tensor, axis: number, keepDims: boolean): Tensor;
  export function reshape(x: Tensor, shape: number[]): Tensor;
  export function transpose(x: Tensor, order: number[]): Tensor;
  export function expandDims(x: Tensor, axis: number): Tensor;
  export function split(x: Tensor, parts: number, axis: number): Tensor[];
  export function concat(parts: Tensor[], axis: number): Tensor;
  export function topk(x: Tensor, k: number): { readonly values: Tensor; readonly indices: Tensor };
  export function gather(x: Tensor, index: Tensor): Tensor;
  export function tensorScatterUpdate(x: Tensor, index: Tensor, rows: Tensor): Tensor;
  export function greaterEqual(a: Tensor, b: Tensor): Tensor;
  export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor;
}

declare module "@tensorflow/tfjs-backend-webgpu";

declare module "@jax-js/jax" {
  export interface Array {
    readonly shape: readonly number[];
    readonly ref: Array;
    add(other: Array | number): Array;
    sub(other: Array | number): Array;
    mul(other: Array | number): Array;
    div(other: Array): Array;
    reshape(shape: number[]): Array;
    transpose(order: number[]): Array;
    slice(...index: (number | [] | [number, number])[]): Array;
    data(): Promise<ArrayLike<number>>;
    dispose(): void;
  }
  export function init(...devices: string[]): Promise<string[]>;
  export function defaultDevice(device: string): string;
  export function jit<Given extends unknown[], Result>(
    f: (...args: Given) => Result,
  ): { (...args: Given): Result; dispose(): void };
  export function valueAndGrad(f: (all: Array[]) => Array): (all: Array[]) => [Array, Array[]];
  export function vjp(f: (x: Array) => Array, at: [Array]): [Array, { (cotangent: Array): [Array]; dispose(): void }];
  export const lax: { topK(x: Array, k: number): [Array, Array]; stopGradient(x: Array): Array };
  export const nn: {
    softmax(x: Array, axis: number): Array;
    gelu(x: Array, options: { readonly approximate: boolean }): Array;
    silu(x: Array): Array;
    logSoftmax(x: Array, axis: number): Array;
    softplus(x: Array): Array;
    oneHot(x: Array, classes: number): Array;
  };
  export const numpy: {
    array(data: Float32Array | Int32Array | number): Array;
    zeros(shape: number[]): Array;
    arange(end: number): Array;
    argsort(x: Array): Array;
    swapaxes(x: Array, a: number, b: number): Array;
    sum(x: Array, axis?: number): Array;
    minimum(a: Array | number, b: Array): Array;
    equal(a: Array, b: Array): Array;
    matmul(a: Array, b: Array): Array;
    sqrt(x: Array): Array;
    square(x: Array): Array;
    mean(x: Array, axis?: number, options?: { readonly keepdims: boolean }): Array;
    concatenate(parts: Array[], axis: number): Array;
    take(x: Array, index: Array, axis: number): Array;
    where(condition: Array, a: Array | number, b: Array | number): Array;
    greaterEqual(a: Array, b: Array): Array;
    argmax(x: Array, axis: number): Array;
    max(x: Array, axis: number): Array;
    min(x: Array, axis: number, options: { readonly keepdims: boolean }): Array;
  };
}

declare module "node-llama-cpp" {
  export interface Sequence {
    clearHistory(): Promise<void>;
    evaluate(
      tokens: number[],
      options: { readonly temperature: number; readonly yieldEogToken: boolean },
    ): AsyncIterable<number>;
  }
  export interface Model {
    createContext(options: {
      readonly contextSize: number;
      readonly batchSize: number;
      readonly flashAttention?: boolean;
      readonly threads: number;
    }): Promise<{ getSequence(): Sequence }>;
  }
  export function getLlama(options: {
    readonly gpu: "vulkan" | false;
    readonly build: "never";
    readonly logLevel: "error";
    readonly maxThreads: number;
  }): Promise<{
    getGpuDeviceNames(): Promise<readonly string[]>;
    loadModel(options: { readonly modelPath: string; readonly gpuLayers: "max" | 0 }): Promise<Model>;
  }>;
}
