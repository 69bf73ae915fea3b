// WebGPU's flags by number: Node has no globals for them.

export const BUFFER_USAGE = {
  mapRead: 0x1,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
  indirect: 0x100,
  queryResolve: 0x200,
} as const;
export const TEXTURE_USAGE = { copyDst: 0x2, storage: 0x8 } as const;
export const MAP_READ = 0x1;
export const STAGE_COMPUTE = 0x4;
