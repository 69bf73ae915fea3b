export function setup(options?: { readonly driver?: boolean }): void;
export function build(): void;

/** A package of a lock file, as far as it matters here. */
export interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
export function missingPackages(
  wanted: Readonly<Record<string, LockedPackage>>,
  installed: Readonly<Record<string, LockedPackage>>,
  machine?: { readonly os: string; readonly cpu: string; readonly libc: string | null },
): { readonly needed: boolean; readonly optional: boolean };
export function hasDriver(env: Readonly<Record<string, string | undefined>>): boolean;
export function setupOrExit(options?: { readonly driver?: boolean }): void;
