// Unigram in linear time: the best way to each place of a word, and unknown pieces joined without copies of what is
// joined already.

interface Branch {
  readonly is_leaf: boolean;
  readonly children: ReadonlyMap<string, Branch>;
}

/** The part of the library's model that encodes words. */
export interface UnigramModel {
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly scores: readonly number[];
  readonly unk_token_id: number | undefined;
  readonly unk_score: number;
  readonly trie: { readonly root: Branch };
  /** Whether the library joins unknown pieces after `encode`. */
  fuse_unk: boolean;
  encode: (words: readonly string[]) => readonly string[];
}

/** Encodes words and joins their unknown pieces, as the library does. `check`: called for each character. */
export function unigramPieces(
  model: UnigramModel,
  words: readonly string[],
  longest: number,
  check: () => void,
): readonly string[] {
  const pieces: string[] = [];
  for (const word of words) for (const piece of piecesOf(model, word, check)) pieces.push(piece);
  return joinedUnknown(model, pieces, longest);
}

/** The pieces with the greatest sum of scores; of equal sums, the one whose last piece begins first. */
function piecesOf(model: UnigramModel, word: string, check: () => void): readonly string[] {
  const characters = Array.from(word);
  const offsets = [0];
  for (const character of characters) offsets.push(offsets.at(-1)! + character.length);
  const best = new Float64Array(characters.length + 1);
  const origin = new Int32Array(characters.length + 1).fill(-1);
  const reach = (from: number, to: number, score: number): void => {
    const sum = best[from]! + score;
    if (origin[to] !== -1 && !(sum > best[to]!)) return;
    best[to] = sum;
    origin[to] = from;
  };
  for (let from = 0; from < characters.length; from++) {
    check();
    let single = false;
    let branch: Branch | undefined = model.trie.root;
    for (let to = from; to < characters.length;) {
      branch = branch.children.get(characters[to++]!);
      if (branch === undefined) break;
      if (!branch.is_leaf) continue;
      reach(from, to, model.scores[model.tokens_to_ids.get(word.slice(offsets[from], offsets[to]))!] ?? NaN);
      single ||= to === from + 1;
    }
    if (!single) reach(from, from + 1, model.unk_score);
  }
  const pieces: string[] = [];
  for (let to = characters.length; to > 0; to = origin[to]!) pieces.push(word.slice(offsets[origin[to]!], offsets[to]));
  return pieces.reverse();
}

/** Joins adjacent unknown pieces, until they are a text of the unknown token itself. */
function joinedUnknown(
  { tokens_to_ids: ids, unk_token_id: unknown }: UnigramModel,
  pieces: readonly string[],
  longest: number,
): readonly string[] {
  const isUnknown = (piece: string): boolean => (ids.get(piece) ?? unknown) === unknown;
  const joined: string[] = [];
  for (let i = 0; i < pieces.length;) {
    const first = pieces[i++]!;
    if (!isUnknown(first)) {
      joined.push(first);
      continue;
    }
    let text = first;
    const parts = [first];
    for (; i < pieces.length && isUnknown(pieces[i]!); i++) {
      // Texts that are longer than any piece have no id.
      if (text.length <= longest && ids.get(text) === unknown) continue;
      parts.push(pieces[i]!);
      if (text.length <= longest) text += pieces[i]!;
    }
    joined.push(parts.join(""));
  }
  return joined;
}
