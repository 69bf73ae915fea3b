import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take longest. They begin first, so that at the end no worker waits for another. */
const LONG = [
  "docs/samples",
  "playground/page",
  "browser/package",
  "tools/cli/train",
  "end-to-end/examples",
  "tools/cli/serve",
  "tools/cli/chat",
  "tools/export/training",
  "bench/hardware",
  "kernels/operators",
  "semantics/variants",
  "generation/generate/device",
  "kernels/products",
  "kernels/tunings",
  "tools/budget/plan",
  "models/families/pytorch",
  "models/families/mixtures",
  "tools/build/project",
  "tools/export/text",
  "tools/serve/offsets",
  "tools/cli/chat-terminal",
  "tools/cli/generate",
  "browser/single-file",
  "tools/cli/tune",
  "models/tokenizer/bounded",
  "tools/train/frozen",
  "tools/export/torch",
  "kernels/products-matrix",
  "semantics/experts/laws",
  "conformance/conformance",
  "end-to-end/digests",
  "compiler/changes",
  "tools/cli/interrupts",
  "kernels/sampling",
  "kernels/swiftshader",
  "generation/generate/recovery",
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
 * Tests run the build, which Node imports as it is: translated anew, with each name looked up in its module's
 * namespace, the compiler takes a twelfth more time. The command line is one bundle there, whose parts tests call:
 * these are translated.
 */
const built = {
  name: "built",
  enforce: "pre",
  resolveId(source: string, importer: string | undefined): string | null {
    if (!importer || !source.startsWith(".")) return null;
    const inside = /^(?:src\/(?!tools\/cli\/)|grammar\/).*(?=\.[jt]s$)/.exec(
      resolve(dirname(importer), source).slice(import.meta.dirname.length + 1),
    );
    const file = inside && join(import.meta.dirname, "dist", `${inside[0]}.js`);
    return file && existsSync(file) ? file : null;
  },
} as const;

export default defineConfig({
  plugins: [built],
  test: {
    server: { deps: { external: [/\/dist\/(?:src|grammar)\//] } },
    globalSetup: ["test/global-setup.ts"],
    sequence: { sequencer: LongestFirst },
    pool: "forks",
    // What is allocated dies young: a larger nursery takes a twelfth off the processor time. Most of what runs is the
    // compiler, once and on many small programs, and optimizing it took V8 a sixth of that time: a function is
    // optimized once it has run some eight times as long as V8 would have it.
    execArgv: ["--max-semi-space-size=64", "--interrupt-budget=1000000"],
    maxWorkers: 2,
    // Two processes run all files, with the modules they have loaded and the devices they have opened: a file leaves
    // both as it found them.
    isolate: false,
    tags: [
      {
        name: "long",
        description:
          "takes over a second, or compares with programs of others; `npm test` leaves it out, continuous integration does not",
      },
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
