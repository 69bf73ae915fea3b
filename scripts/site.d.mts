export function escaped(text: string): string;
export function anchorOf(heading: string): string;
export function buildSite(
  folder: string,
  options?: { readonly playground?: boolean; readonly pictured?: (file: string) => boolean },
): Promise<readonly string[]>;
