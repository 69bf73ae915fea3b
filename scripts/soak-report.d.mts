export interface SoakRow {
  readonly what: string;
  readonly cases: string;
  readonly result: string;
  readonly seconds: number;
}
export interface SoakSection {
  /** Year, month and day. */
  readonly date: string;
  readonly command: string;
  readonly node: string;
  readonly processor: string;
  readonly seed: number;
  readonly rows: readonly SoakRow[];
}
export function sectionsOf(report: string): ReadonlyMap<string, string>;
export function sectionText(section: SoakSection): string;
export function withSections(report: string, fresh: ReadonlyMap<string, string>, order: readonly string[]): string;
