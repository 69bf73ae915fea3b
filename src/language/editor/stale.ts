// Finds reviews of outdated texts: closed files may change on the disk without a notification.
import type { Host } from "./host.js";
import { parentOf } from "./uris.js";

interface Texts {
  readonly host: Pick<Host, "refusal">;
  isOpen(file: string): boolean;
  textOf(file: string): string | null;
}

/** The files that a review read or looked for, and the texts found. */
interface Read {
  readonly reads: ReadonlySet<string>;
  readonly texts: ReadonlyMap<string, string>;
}

/** The root sources whose reviews used a text of a closed file that has since changed. Each file is read once. */
export function staleOf(reviews: ReadonlyMap<string, Read>, of: Texts): readonly string[] {
  const now = new Map<string, string | null>();
  const textNow = (file: string): string | null => {
    if (!now.has(file)) now.set(file, of.textOf(file));
    return now.get(file)!;
  };
  return [...reviews].flatMap(([root, { reads, texts }]) => {
    const mayRead = (file: string): boolean => of.host.refusal(file, parentOf(root)) === null;
    const isAsItWas = (file: string): boolean =>
      of.isOpen(file) || (texts.get(file) ?? null) === (mayRead(file) ? textNow(file) : null);
    return [...reads].every(isAsItWas) ? [] : [root];
  });
}
