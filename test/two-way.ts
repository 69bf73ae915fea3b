// The folders that still import each other.
/** Folders that import a folder of theirs and are imported by it. The list only gets shorter. */
export const TWO_WAY: Readonly<Record<string, readonly string[]>> = {
  "compiler/schedule": ["addressing", "fusion", "joining", "kernels", "memory"],
  "generation/engine": ["caches"],
  "language/check": ["builtins", "checks", "eval", "instances", "names", "unroll"],
  "language/diagnostics": ["codes"],
  models: ["opened", "runs"],
  "runtime/weights": ["gguf"],
  "tools/hardware": ["run"],
  "tools/serve": ["endpoints", "tools"],
  "tools/train": ["report"],
};
/** Folders next to each other that import each other. */
export const TWO_WAY_SIBLINGS = "compiler/schedule/addressing compiler/schedule/kernels";
