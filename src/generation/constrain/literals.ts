// One of several texts, with what they begin with alike said once.
import { choiceOf, type Expression, NOTHING, sequence, text } from "./expression.js";

export function literals(texts: readonly string[]): Expression {
  return among([...new Set(texts)].sort());
}

/** Of texts in order. */
function among(sorted: readonly string[]): Expression {
  const [first = "", last = ""] = [sorted[0], sorted.at(-1)];
  if (sorted.length === 1) return text(first);
  const a = Array.from(first);
  const b = Array.from(last);
  let shared = 0;
  while (shared < a.length && a[shared] === b[shared]) shared++;
  const prefix = a.slice(0, shared).join("");
  const groups = new Map<string, string[]>();
  for (const one of sorted) {
    const rest = one.slice(prefix.length);
    const point = rest.codePointAt(0);
    const key = point === undefined ? "" : String.fromCodePoint(point);
    const group = groups.get(key);
    if (group) group.push(rest);
    else groups.set(key, [rest]);
  }
  const parts = [...groups].map(([key, group]) => (key === "" ? NOTHING : among(group)));
  return prefix === "" ? choiceOf(parts) : sequence(text(prefix), choiceOf(parts));
}
