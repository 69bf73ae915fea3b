// The note for browsers without WebGPU, which only running and training need.
import { h } from "../dom.js";

/** The note; null if the browser has WebGPU. */
export function webgpuNote(what: "run" | "train"): HTMLElement | null {
  if ("gpu" in navigator && navigator.gpu) return null;
  return h(
    "p",
    { class: "note warn" },
    `This browser has no WebGPU, so the playground cannot ${what} models here; everything else works. Current ` +
      "Chrome, Edge, Safari and Firefox have it, over https or on localhost.",
  );
}
