// What any device has, for programs that Mesa's runs.
import { PORTABLE, type Target } from "../src/runtime/program/target.js";
import { soaking } from "./soak.js";

/**
 * The features and limits that any device has, but for a soak with kernels that Mesa compiles soon: those for GPUs take
 * it 2 to 7 s each, and have tests of their own. test/end-to-end/targets.test.ts runs a model with them.
 */
export const ANY_DEVICE: Target = soaking ? PORTABLE : { ...PORTABLE, device: "mesa-software" };
