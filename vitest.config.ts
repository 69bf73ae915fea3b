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

export default defineConfig({
  test: {
    globalSetup: ["test/global-setup.ts"],
    sequence: { sequencer: LongestFirst },
    pool: "forks",
    // What is allocated dies young: a larger nursery takes a twelfth off the processor time.
    execArgv: ["--max-semi-space-size=64"],
    maxWorkers: 2,
    // Two processes run all files, with the modules they have loaded and the devices they have opened: a file leaves both as it found them.
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
