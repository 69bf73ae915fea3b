import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take longest. They begin first, so that at the end no worker waits for another. */
const LONG = [
  "kernels/swiftshader",
  "docs/samples",
  "end-to-end/examples",
  "autodiff/device",
  "kernels/products",
  "playground/page",
  "cli/train",
  "train/trainer",
  "end-to-end/targets",
  "kernels/tunings",
  "cli/tune",
  "build/project",
  "train/programs",
  "kernels/operators",
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return found < 0 ? LONG.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

/**
 * Tests of the compiler's rooms and of kernels on a device: they leave nothing behind, so one process runs many files, with the modules it has loaded and the device it has opened.
 * The rest starts programs, loses devices or fills memory to see what happens: a process for each file.
 */
const ROOMS =
  "autodiff check check-tensor cost diagnostics end-to-end generate huggingface ir kernels lower ops passes program reference schedule semantics size syntax tokenizer tune verify";
const TOGETHER = ROOMS.split(" ").map((room) => `test/${room}/**/*.test.ts`);

const shared = { pool: "forks", testTimeout: 60_000, hookTimeout: 60_000 } as const;

export default defineConfig({
  test: {
    globalSetup: ["test/global-setup.ts"],
    sequence: { sequencer: LongestFirst },
    maxWorkers: 2,
    projects: [
      { test: { ...shared, name: "together", include: TOGETHER, isolate: false } },
      { test: { ...shared, name: "apart", include: ["test/**/*.test.ts"], exclude: TOGETHER } },
    ],
  },
});
