// Declares empty interfaces for the names of WebGPU and the DOM in modc's declarations, so that modc's types need
// neither the DOM library nor @webgpu/types nor Node's types. If another declaration of the same name exists,
// TypeScript merges both, and the empty interface adds nothing.

declare global {
  interface AbortSignal {}
  interface GPU {}
  interface GPUAdapter {}
  interface GPUAdapterInfo {}
  interface GPUBindGroup {}
  interface GPUBindGroupLayout {}
  interface GPUBuffer {}
  interface GPUBufferBinding {}
  interface GPUBufferDescriptor {}
  interface GPUCommandEncoder {}
  interface GPUComputePipeline {}
  interface GPUDevice {}
  interface GPUQuerySet {}
  interface GPUTexture {}
  interface GPUTextureView {}
  interface Request {}
  interface Response {}
}
// oxlint-disable-next-line unicorn/require-module-specifiers -- `declare global` stands in a module
export {};
