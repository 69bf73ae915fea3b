// Which reviews are of texts that are others now: files that are not open change on the disk, and nobody need tell.
import type { Host } from "./host.js";
import { folderOf } from "./uris.js";

interface Texts {
  readonly host: Pick<Host, "refusal">;
  isOpen(file: string): boolean;
  textOf(file: string): string | null;
}

/** What a review read or looked for, and the texts that it found. */
interface Read {
  readonly reads: ReadonlySet<string>;
  readonly texts: ReadonlyMap<string, string>;
}

/** The roots of reviews that found another text in a file that is not open; each file is read once. */
export function staleOf(reviews: ReadonlyMap<string, Read>, of: Texts): readonly string[] {
  const now = new Map<string, string | null>();
  const textNow = (file: string): string | null => {
    if (!now.has(file)) now.set(file, of.textOf(file));
    return now.get(file)!;
  };
  return [...reviews].flatMap(([root, { reads, texts }]) => {
    const mayRead = (file: string): boolean => of.host.refusal(file, folderOf(root)) === null;
    const isAsItWas = (file: string): boolean =>
      of.isOpen(file) || (texts.get(file) ?? null) === (mayRead(file) ? textNow(file) : null);
    return [...reads].every(isAsItWas) ? [] : [root];
  });
}
