// What a device must offer for a plan: WebGPU's defaults unless the caller knows better.

export interface Limits {
  readonly storageBuffersPerStage: number;
  readonly invocationsPerWorkgroup: number;
  readonly workgroupStorageBytes: number;
}

/** WebGPU's default limits (W3C, 3.6.2): every device has them. */
export const DEFAULT_LIMITS: Limits = {
  storageBuffersPerStage: 8,
  invocationsPerWorkgroup: 256,
  workgroupStorageBytes: 16_384,
};
