// Weights as a model declares them, in the form the runtime reads and writes: no kernel reads them yet.
import type { ModelWeight } from "../check/model.js";
import type { ProgramWeight } from "../program/program.js";

export const asProgramWeight = ({ path, dtype, shape, init: start, keys }: ModelWeight): ProgramWeight => ({
  path,
  dtype,
  shape,
  init: start,
  keys,
  slots: [],
});
