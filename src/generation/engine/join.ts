// A request joins those on the device: it gets a slot, and the rows of the longest prefix that is known.
import { bug } from "../../ground/base/invariant.js";
import type { CacheMemory } from "./memory.js";
import type { Paged } from "./options.js";
import type { Sequence } from "./sequence.js";
import { slotWrites } from "./slots.js";
import type { Copy, Write } from "./state-edits.js";

/** What must be written before a run of the text. */
export interface Joined {
  readonly writes: readonly Write[];
  readonly copies: readonly Copy[];
}

/** Gives a waiting text a slot, from where it is read on. `fail`: called if its constraint allows nothing now. */
export function join(
  paged: Paged,
  memory: CacheMemory,
  {
    sequence,
    slot,
    fail,
  }: { readonly sequence: Sequence; readonly slot: number; readonly fail: (error: unknown) => void },
): Joined {
  const { page, axes } = paged.pages;
  const { settled } = sequence;
  if (sequence.pages.some((own) => own.length > 0)) bug("a text that waits holds pages");
  // The scores of a prompt come from the logits of all its tokens; of others the last is read for its logits.
  const whole = (settled.request.promptLogprobs ?? null) !== null;
  const shared = whole ? null : memory.share(sequence, settled.kind, sequence.tokens.length - 1);
  if (shared) {
    const { prefix } = shared;
    sequence.read = sequence.submitted = prefix.tokens;
    sequence.rows = [...prefix.rows];
    sequence.kept = { blocks: prefix.tokens / page, block: prefix.block, rows: prefix.rows };
    // One by one: a prefix may have more tokens than a call takes arguments.
    prefix.taken.forEach((own, axis) => {
      for (const taken of own ?? []) sequence.taken[axis]?.push(taken);
    });
  }
  sequence.found = shared?.prefix.tokens ?? 0;
  sequence.cached ??= sequence.found;
  sequence.joined = performance.now();
  sequence.slot = slot;
  sequence.phase = "reading";
  const copies = (shared?.copies ?? []).flatMap(({ axis, from, to, rows }) =>
    axes[axis]!.states.map(({ name, bytes }) => ({
      state: name,
      from: from * page * bytes,
      to: to * page * bytes,
      bytes: rows * bytes,
    })),
  );
  try {
    return { writes: slotWrites(paged, sequence, slot), copies };
  } catch (error) {
    fail(error);
    return { writes: [], copies };
  }
}
