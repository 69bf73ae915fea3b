// The note for browsers without WebGPU: only running and training need it.
import { h } from "../dom.js";

/** Null where there is WebGPU. */
export function webgpuNote(what: "run" | "train"): HTMLElement | null {
  if ("gpu" in navigator && navigator.gpu) return null;
  return h(
    "p",
    { class: "note warn" },
    `This browser has no WebGPU, so the playground cannot ${what} models here; everything else works. Current ` +
      "Chrome, Edge, Safari and Firefox have it, over https or on localhost.",
  );
}
