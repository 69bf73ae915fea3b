export function setup(options?: { readonly driver?: boolean }): void;
export function build(): void;
export function setupOrExit(options?: { readonly driver?: boolean }): void;
