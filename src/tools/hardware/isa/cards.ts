// The GPUs that modc compiles for without the hardware. AMD's figures are from data sheets and instruction set guides.

/** For Intel's GPUs modc only has the reports of the compiler, and no model of time. */
export interface Gpu {
  readonly id: GpuId;
  readonly vendor: "AMD" | "Intel";
  readonly name: string;
}

export interface Card extends Gpu {
  readonly id: CardId;
  /** The major version of the instruction set: 10 for gfx10, 11 for gfx11. */
  readonly generation: number;
  readonly clock: number;
  /** SIMDs of 32 lanes; two of them share a compute unit. */
  readonly simds: number;
  readonly bandwidth: number;
  /** Whether a SIMD issues two f32 operations of 64 lanes at once. */
  readonly doubles: boolean;
  /** Cycles in which a SIMD's matrix unit multiplies two 16 × 16 tiles of f16; 0: the card has no matrix units. */
  readonly wmma: number;
  /** Cycles until a load returns: from the L2 cache or beyond, from the scalar cache, from workgroup memory. */
  readonly latency: { readonly memory: number; readonly scalar: number; readonly local: number };
  /** Microseconds between two dispatches that depend on each other. */
  readonly gap: number;
}

const latency = { memory: 500, scalar: 200, local: 64 };

export const CARD_IDS = ["navi31", "navi21", "gfx1201"] as const;
export type CardId = (typeof CARD_IDS)[number];
export const INTEL_IDS = ["tgl", "dg2", "mtl", "lnl", "bmg"] as const;
export const GPU_IDS = [...CARD_IDS, ...INTEL_IDS] as const;
export type GpuId = (typeof GPU_IDS)[number];

export const CARDS: readonly Card[] = [
  {
    id: "navi31",
    vendor: "AMD",
    name: "Radeon RX 7900 XTX",
    generation: 11,
    clock: 2.4e9,
    simds: 192,
    bandwidth: 960e9,
    doubles: true,
    wmma: 32,
    latency,
    gap: 3,
  },
  {
    id: "navi21",
    vendor: "AMD",
    name: "Radeon RX 6900 XT",
    generation: 10,
    clock: 2.25e9,
    simds: 160,
    bandwidth: 512e9,
    doubles: false,
    wmma: 0,
    latency,
    gap: 3,
  },
  {
    id: "gfx1201",
    vendor: "AMD",
    name: "Radeon RX 9070 XT",
    generation: 12,
    clock: 2.9e9,
    simds: 128,
    bandwidth: 640e9,
    doubles: true,
    wmma: 16,
    latency,
    gap: 3,
  },
];

const intel = (id: (typeof INTEL_IDS)[number], name: string): Gpu => ({ id, vendor: "Intel", name });
export const INTEL: readonly Gpu[] = [
  intel("tgl", "Iris Xe of Tiger Lake"),
  intel("dg2", "Arc A770M"),
  intel("mtl", "Arc of Meteor Lake"),
  intel("lnl", "Arc of Lunar Lake"),
  intel("bmg", "Arc B580"),
];

export const gpuOf = (id: GpuId): Gpu => [...CARDS, ...INTEL].find((gpu) => gpu.id === id)!;
export const isCard = (gpu: Gpu): gpu is Card => gpu.vendor === "AMD";

/**
 * Peak operations a second: of f32 multiply-adds or, if `half` and the card has matrix units, of f16 on matrix units.
 */
export const peakOf = ({ simds, clock, doubles, wmma }: Card, half: boolean): number =>
  simds * clock * (half && wmma > 0 ? 8192 / wmma : doubles ? 128 : 64);
