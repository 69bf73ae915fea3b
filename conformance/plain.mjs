// A layer as the laws have it, as a module that check.mjs can try.
import { layer } from "./faults.mjs";

export const { train, generate, decode } = layer();
