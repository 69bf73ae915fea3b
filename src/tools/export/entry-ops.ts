// Entry selections (such as a token's experts) and expert computations as PyTorch expressions.
import type { Value } from "../../language/check/model/model.js";
import { axisChosenFrom, countedBy, isOfExperts } from "./outline.js";
import { refuse } from "./refused.js";
import { countOfTop } from "./sizes.js";
import { call, infix, is, type Scope, type Text } from "./text.js";

type Members = Value<"entry_members">["attrs"]["members"];

const membersText = (members: Members): string =>
  `(${members.map(({ first, count }) => `(${first}, ${count}),`).join(" ")})`;

/** The number of candidates that an entry selection chooses from. */
function amongOf(choice: Value, { holes }: Pick<Scope, "holes">): string {
  const size = choice.inputs[0]!.type.shape.at(-1);
  if (typeof size !== "number") refuse("a choice among entries of an axis", choice);
  return holes.add(String(size), "num_experts");
}

/** Whether a selection fills all of the slots, so that every entry exists. */
const isFull = (choice: Value): boolean => choice.op === "top_entries";

/** The text of an operation on entries; null for other operations. */
export function entryExpression(value: Value, scope: Scope): Text | null {
  const { tight, loose, axis, model, holes } = scope;
  const [x, y, z] = value.inputs;
  if (is(value, "top_entries")) return call(`mt.top_entries(${loose(x!)}, ${holes.add(String(value.attrs.k), "k")})`);
  if (is(value, "those_entries")) return call(`mt.those_entries(${loose(x!)})`);
  if (is(value, "top_tokens")) {
    const [from, by] = [axisChosenFrom(model, value.attrs.axis, value), countedBy(model, value)];
    const of = from === by ? "" : `, of=${axis(by)}`;
    return call(`mt.top_tokens(${loose(x!)}, ${axis(from)}, ${countOfTop(model, value, holes)}${of})`);
  }
  if (is(value, "entry_exists"))
    return isFull(x!)
      ? call(`torch.ones_like(${loose(x!)}, dtype=torch.bool)`)
      : infix(`${tight(x!)} < ${amongOf(x!, scope)}`);
  if (is(value, "entry_index"))
    return isFull(x!) ? call(loose(x!)) : call(`mt.entry_index(${loose(x!)}, ${amongOf(x!, scope)})`);
  if (is(value, "entry_mask")) return call(`mt.entry_mask(${loose(x!)}, ${amongOf(x!, scope)})`);
  if (is(value, "entry_count")) return call(`mt.entry_mask(${loose(x!)}, ${amongOf(x!, scope)}).sum(-1)`);
  if (is(value, "take_entries"))
    return call(isFull(y!) ? `${tight(x!)}.gather(-1, ${loose(y!)})` : `mt.take_entries(${loose(x!)}, ${loose(y!)})`);
  if (is(value, "put_entries")) return call(`mt.put_entries(${loose(x!)}, ${loose(y!)}, ${loose(z!)})`);
  if (is(value, "entry_members")) return call(`mt.is_member(${loose(x!)}, ${membersText(value.attrs.members)})`);
  if (is(value, "take_entry")) {
    if (value.attrs.dim !== 1) refuse("entries of tokens that are not the second dimension", value);
    return call(`mt.take_entry(${loose(x!)}, ${loose(y!)}, ${loose(z!)}, ${value.attrs.entry})`);
  }
  if (is(value, "join_entries")) {
    if (value.attrs.dim !== 1) refuse("entries of tokens that are not the second dimension", value);
    const [, ...parts] = value.inputs.map(loose);
    const pairs = parts.flatMap((route, i) => (i % 2 === 0 ? [`(${route}, ${parts[i + 1]!})`] : []));
    return call(`mt.join_entries(${[loose(x!), ...pairs].join(", ")})`);
  }
  if (is(value, "sort_rows")) return call(`mt.rows_of(${loose(x!)}, ${axis(value.attrs.axis)})`);
  if (is(value, "sort_entries")) return call(`mt.values_of(${loose(x!)}, ${axis(value.attrs.axis)})`);
  if (is(value, "unsort_entries")) return call(`mt.unsorted(${loose(x!)}, ${axis(value.attrs.axis)})`);
  return null;
}

/** The expression that sorts entries by expert, for the operations along the sorted axis. */
export function sortingText(value: Value<"sort_rows"> | Value<"sort_entries">, along: string, scope: Scope): string {
  const { members, of } = value.attrs;
  const choice = value.inputs[1]!;
  const isAll = members.reduce((n, { count }) => n + count, 0) === of;
  const among = amongOf(choice, scope);
  const some = isAll ? "" : `, ${membersText(members)}`;
  return `mt.sort_entries(${scope.loose(choice)}, ${along}, ${among}${some})`;
}

/** The product of rows and experts' weights; null for other operations. */
export function expertProduct(value: Value, scope: Scope, entries: (value: Value) => string): Text | null {
  if (!is(value, "matmul")) return null;
  const [x, w] = value.inputs;
  if (!isOfExperts(w!)) return null;
  const weight = w!.op === "permute" ? scope.loose(w!) : `${scope.tight(w!)}.transpose(1, 2)`;
  return call(`mt.expert_linear(${scope.loose(x!)}, ${weight}, ${entries(value)})`);
}

/** Selects the weight of each row's expert, with the value's rank. */
export const ownWeight = (weight: string, value: Value, entries: string): string =>
  `mt.own_of(${weight}, ${entries}, ${value.type.shape.length})`;
