export interface UnpackedMesa {
  /** The driver's manifest. */
  readonly manifest: string;
  /** Libraries that it needs, which are to be loaded before it. */
  readonly libraries: readonly string[];
}
export function mesaWithMatrices():
  | { readonly driver: UnpackedMesa; readonly missing: null }
  | { readonly driver: null; readonly missing: string };
