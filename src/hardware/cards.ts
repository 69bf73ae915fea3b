// The cards whose compilers are asked, by data sheets and AMD's guides to their instruction sets.
export interface Card {
  readonly id: CardId;
  readonly name: string;
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

export const CARDS: readonly Card[] = [
  {
    id: "navi31",
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

export const cardOf = (id: CardId): Card => CARDS.find((card) => card.id === id)!;

/** Operations a second: f32 multiply-adds, and f16 on matrix units where it has them. */
export const peakOf = ({ simds, clock, doubles, wmma }: Card, half: boolean): number =>
  simds * clock * (half && wmma > 0 ? 8192 / wmma : doubles ? 128 : 64);
