// Tunings of `top`: the kernel that finds the k best rows of a sequence.
import { among, object, orNull, variant, whole, type Read, type Reader } from "../../program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../program/target.js";
import type { Family } from "./family.js";

/** All choose the same rows. */
export type TopTuning =
  /** `top.wgsl`: a histogram in workgroup memory. */
  | { readonly kind: "workgroup"; readonly lanes: number }
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
const WIDTHS = { least: 4, most: 128 } as const;
const MOST_CASES = 16;

const workgroup = (most: number | null, lanes: number): TopCase => ({ most, tuning: { kind: "workgroup", lanes } });

/** The cost of barriers grows with the invocations, but a GPU needs many invocations for long sequences. */
const PORTABLE: TopTunings = [workgroup(1024, 32), workgroup(4096, 64), workgroup(null, 256)];
/** Not measured. */
const GPU: TopTunings = [workgroup(1024, 64), workgroup(null, 256)];

/**
 * Measured on Mesa 25.0.7, two Zen 4 cores, an eighth of normal scores, dispatch and all; by subgroup against a
 * histogram. 512 tokens: 22 µs against 32; 2048: 46 against 68; 8192: 100 against 200; 65,536: 860 against 1610; four
 * sequences of these: 1870 against 3300.
 */
const BY_CLASS: { readonly [C in DeviceClass]: TopTunings } = {
  portable: PORTABLE,
  "mesa-software": [{ most: null, tuning: { kind: "subgroup", width: 8 } }],
  swiftshader: PORTABLE,
  integrated: GPU,
  discrete: GPU,
};

export const top: Family<TopTunings> = {
  defaults(target) {
    const own = BY_CLASS[target.device];
    return top.incompatibility(own, target) === null ? own : PORTABLE;
  },
  candidates(target: Target) {
    const width = subgroupWidth(target);
    const lanes = LANES.filter((n) => n <= target.limits.invocationsPerWorkgroup);
    const tunings: TopTuning[] = lanes.map((n) => ({ kind: "workgroup", lanes: n }));
    if (width !== null && width >= WIDTHS.least && width <= WIDTHS.most) tunings.push({ kind: "subgroup", width });
    return tunings.map((tuning) => ({
      name: tuning.kind === "workgroup" ? `workgroup ${tuning.lanes}` : tuning.kind,
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
      else if (tuning.kind === "workgroup" && tuning.lanes > target.limits.invocationsPerWorkgroup)
        return `top needs workgroups of ${tuning.lanes}`;
    return null;
  },
};

const readCase: Read<TopCase> = object({
  most: orNull(whole(1)),
  tuning: variant({ workgroup: { lanes: among(LANES) }, subgroup: { width: whole(WIDTHS.least, WIDTHS.most) } }),
});
