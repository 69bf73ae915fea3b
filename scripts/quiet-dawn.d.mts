export interface Patch {
  readonly offset: number;
  readonly before: Buffer;
  readonly after: Buffer;
}
export const PATCHES: Readonly<Record<"x64" | "arm64", Patch>>;
export function dawnFile(root: string, system?: { readonly platform: string; readonly arch: string }): string | null;
export function quietDawn(file: string, patch: Patch): boolean;
