export interface Packed {
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}
export interface Release {
  readonly version: string;
  readonly manifest: { readonly version: string; readonly private?: boolean; readonly repository?: unknown };
  readonly citation: string;
  readonly changelog: string;
  readonly packed: Packed;
}
export function faultsOf(release: Release): readonly string[];
export function packedOf(folder: string): Packed;
