// Types of portable.mjs.
export function portable(
  folder: string,
  options?: { readonly pack?: boolean },
): Promise<{ readonly packed: string; readonly bytes: number } | null>;
