// Tunings of `top`: the kernel that finds the k best rows of a sequence.
import { among, object, orNull, variant, whole, type Read, type Reader } from "../../../runtime/program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../../runtime/program/target.js";
import type { Family } from "./family.js";

/** All choose the same rows. */
export type TopTuning =
  /** `top.wgsl`: a histogram in workgroup memory. */
  | { readonly kind: "workgroup"; readonly lanes: number }
  /** `top_held.wgsl`: 256 invocations. Each keeps this number of keys in registers. */
  | { readonly kind: "held"; readonly keys: number }
  /** `top_subgroup.wgsl`: a subgroup of this width, without barriers. */
  | { readonly kind: "subgroup"; readonly width: number };

/** The tuning for sequences of at most `most` tokens; null: of any length. */
export interface TopCase {
  readonly most: number | null;
  readonly tuning: TopTuning;
}

/** The first case that fits applies; the last fits any length. */
export type TopTunings = readonly TopCase[];

const LANES = [32, 64, 128, 256] as const;
const KEYS = [4, 8, 16] as const;
/** Invocations of a workgroup that keep keys. */
const HOLDERS = 256;
const WIDTHS = { least: 4, most: 128 } as const;
const MOST_CASES = 16;

const workgroup = (most: number | null, lanes: number): TopCase => ({ most, tuning: { kind: "workgroup", lanes } });

/** The cost of barriers grows with the invocations, but a GPU needs many invocations for long sequences. */
const PORTABLE: TopTunings = [workgroup(1024, 32), workgroup(4096, 64), workgroup(null, 256)];
/**
 * Rows beyond 2048 are loaded again in every pass, eight at once. Estimated from Mesa's machine code for
 * RDNA 3, not measured: 2048 rows take 7,000 cycles; `top.wgsl` takes some 90,000.
 */
const GPU: TopTunings = [{ most: null, tuning: { kind: "held", keys: 8 } }];

/**
 * Measured on Mesa 25.0.7, two Zen 4 cores, an eighth of normal scores, dispatch and all; by subgroup against a
 * histogram. 512 tokens: 22 µs against 32; 2048: 46 against 68; 8192: 100 against 200; 65,536: 860 against 1610; four
 * sequences of these: 1870 against 3300.
 */
const BY_CLASS: { readonly [C in DeviceClass]: TopTunings } = {
  portable: GPU,
  "mesa-software": [{ most: null, tuning: { kind: "subgroup", width: 8 } }],
  swiftshader: PORTABLE,
  integrated: GPU,
  discrete: GPU,
};

export const top: Family<TopTunings> = {
  defaults(target) {
    const ofClass = BY_CLASS[target.device];
    return top.incompatibility(ofClass, target) === null ? ofClass : PORTABLE;
  },
  candidates(target: Target) {
    const width = subgroupWidth(target);
    const lanes = LANES.filter((n) => n <= target.limits.invocationsPerWorkgroup);
    const tunings: TopTuning[] = lanes.map((n) => ({ kind: "workgroup", lanes: n }));
    if (target.limits.invocationsPerWorkgroup >= HOLDERS)
      tunings.push(...KEYS.map((keys): TopTuning => ({ kind: "held", keys })));
    if (width !== null && width >= WIDTHS.least && width <= WIDTHS.most) tunings.push({ kind: "subgroup", width });
    return tunings.map((tuning) => ({
      name: nameOf(tuning),
      tunings: [{ most: null, tuning }],
    }));
  },
  read(r: Reader) {
    const cases = r.list(readCase, MOST_CASES);
    if (cases.length === 0) r.fail("must hold a case");
    cases.forEach(({ most }, i) => {
      if ((most === null) !== (i === cases.length - 1))
        r.fail("must end with the one case for any length (most: null)");
      if (most !== null && most <= (cases[i - 1]?.most ?? 0))
        r.fail(`must go up, found ${most} after ${cases[i - 1]!.most}`);
    });
    return cases;
  },
  incompatibility(cases, target) {
    const width = subgroupWidth(target);
    for (const { tuning } of cases)
      if (tuning.kind === "subgroup" && tuning.width !== width)
        return `top needs subgroups of ${tuning.width}, which the target does not have in one width`;
      else if (tuning.kind !== "subgroup" && topLanes(tuning) > target.limits.invocationsPerWorkgroup)
        return `top needs workgroups of ${topLanes(tuning)}`;
    return null;
  },
};

/** `workgroup 64`, `held 8`, `subgroup` */
function nameOf(tuning: TopTuning): string {
  switch (tuning.kind) {
    case "workgroup":
      return `workgroup ${tuning.lanes}`;
    case "held":
      return `held ${tuning.keys}`;
    case "subgroup":
      return "subgroup";
    default:
      return tuning satisfies never;
  }
}

/** Invocations that share a sequence. */
export function topLanes(tuning: TopTuning): number {
  switch (tuning.kind) {
    case "workgroup":
      return tuning.lanes;
    case "held":
      return HOLDERS;
    case "subgroup":
      return tuning.width;
    default:
      return tuning satisfies never;
  }
}

const readCase: Read<TopCase> = object({
  most: orNull(whole(1)),
  tuning: variant({
    workgroup: { lanes: among(LANES) },
    held: { keys: among(KEYS) },
    subgroup: { width: whole(WIDTHS.least, WIDTHS.most) },
  }),
});
