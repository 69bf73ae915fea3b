export interface TestFilter {
  /** Empty where all tests run. */
  readonly words: readonly string[];
  /** Arguments of vitest; null where nothing matches. */
  readonly vitest: readonly string[] | null;
}
export function filterOf(args: readonly string[], root: string): TestFilter;
