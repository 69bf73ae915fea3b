// Names of WebGPU and of the DOM in the declarations of modc: empty if nobody else declares them, so that types need
// neither the DOM library, nor @webgpu/types, nor those of Node. An interface of the same name, from wherever it comes,
// is merged with the one here, which adds nothing to it.

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
