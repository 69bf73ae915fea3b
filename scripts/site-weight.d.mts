export interface Weight {
  readonly page: string;
  readonly requests: number;
  readonly bytes: number;
}
export interface Budget {
  readonly requests: number;
  readonly bytes: number;
  readonly paintMs: number;
}
export const BUDGET: Budget;
export const PLAYGROUND_BUDGET: Budget;
export function weightOf(folder: string, page: string): Weight;
export function heaviest(folder: string, pages: readonly string[]): Weight;
export function isWithin(weight: Weight, budget: Budget): boolean;
export function toldWeight(weight: Weight, budget: Budget): string;
