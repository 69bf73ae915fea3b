// The cards whose compilers are asked; AMD's by data sheets and guides to their instruction sets.

/** Of Intel's GPUs only what their compiler reports is known here: no model of time. */
export interface Gpu {
  readonly id: GpuId;
  readonly vendor: "AMD" | "Intel";
  readonly name: string;
}

export interface Card extends Gpu {
  readonly id: CardId;
  /** `gfx` of the machine code. */
  readonly generation: number;
  readonly clock: number;
  /** Of 32 lanes; two share a compute unit. */
  readonly simds: number;
  readonly bandwidth: number;
  /** Whether a SIMD does two f32 operations of 64 lanes at once. */
  readonly doubles: boolean;
  /** Cycles of a SIMD for a product of 16 × 16 × 16 of f16 on its matrix unit; 0: it has none. */
  readonly wmma: number;
  /** Cycles until a load is back: from the second cache or beyond, the scalar cache, workgroup memory. */
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

/** Operations a second: f32 multiply-adds, and f16 on matrix units where it has them. */
export const peakOf = ({ simds, clock, doubles, wmma }: Card, half: boolean): number =>
  simds * clock * (half && wmma > 0 ? 8192 / wmma : doubles ? 128 : 64);
