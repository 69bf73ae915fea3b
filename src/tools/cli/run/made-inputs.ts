// Random inputs for measuring, from a seed.
import { isFloat } from "../../../ground/base/dtype.js";
import type { Program } from "../../../runtime/program/program.js";
import { initialValues } from "../../../runtime/index.js";
import { resolveSizes, type RunSizes } from "../../../ground/size/axes.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import { sizeOfText } from "../../../ground/size/parse-size.js";
import type { GivenInputs, GivenTensor } from "./inputs.js";

/** The limit of random integers for inputs without one. */
const USUAL_BELOW = 256;

/** Floats are normally distributed; integers are below their limit. */
export function madeInputs(program: Program, run: RunSizes, seed: number): GivenInputs {
  const sizes = resolveSizes(parseAxes(program), run);
  const inputs = program.inputs.map(({ name, dtype, shape, below }): [string, GivenTensor] => {
    const extents = shape.map((size) => sizes.number(sizeOfText(size)));
    const float = isFloat(dtype);
    const high = dtype === "bool" ? 2 : (below ?? USUAL_BELOW);
    const init = float ? { kind: "normal" as const, std: 1 } : { kind: "uniform" as const, low: 0, high };
    const data = initialValues({ path: `input ${name}`, dtype, shape: extents, init, keys: [], slots: [] }, seed);
    return [name, { shape: extents, data }];
  });
  return { inputs: new Map(inputs), lengths: null, texts: null, extents: run.extents };
}
