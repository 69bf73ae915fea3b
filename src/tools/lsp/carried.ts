// Carries diagnostics of an earlier text over to the current text. They are shown until the checks have run again.
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { Span } from "../../language/diagnostics/span.js";
import { suggestedAs } from "../../language/diagnostics/suggestions.js";
import { differenceOf, movedBy } from "../../language/editor/text.js";

type Texts = ReadonlyMap<string, string>;

/** Diagnostics whose text has changed or disappeared are dropped. */
export function carried(diagnostics: readonly Diagnostic[], then: Texts, now: Texts): readonly Diagnostic[] {
  if (diagnostics.length === 0) return [];
  const moved = moverOf(then, now);
  return diagnostics.flatMap((d) => {
    const span = moved(d.span);
    if (span === null) return [];
    const notes = d.notes.map((note) => ({ ...note, span: note.span && moved(note.span) }));
    return [suggestedAs({ ...d, span, notes }, d)];
  });
}

function moverOf(then: Texts, now: Texts): (span: Span) => Span | null {
  const differences = new Map(
    [...now].flatMap(([file, text]) => {
      const before = then.get(file);
      return before === undefined ? [] : [[file, differenceOf(before, text)] as const];
    }),
  );
  return ({ file, start, end }) => {
    const difference = differences.get(file);
    if (!difference) return null;
    const [from, to] = [movedBy(difference, start), movedBy(difference, end)];
    return from === null || to === null || to - from !== end - start ? null : { file, start: from, end: to };
  };
}
