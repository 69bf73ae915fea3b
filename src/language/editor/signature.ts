// Signature help: the parameters of the call around the cursor, and the parameter being written.
import { builtins } from "../check/builtins/index.js";
import type { Documented } from "../check/documented.js";
import type { Definition } from "../names/definitions.js";
import type { Names } from "./occurrences.js";
import { here, isCode, type Here } from "./here.js";
import type { Project } from "./project.js";
import { builtinDocs, textOfDefinition } from "./definition-text.js";

export interface SignatureParameter {
  /** Empty for a parameter without a name: the third and further arguments of `min`. */
  readonly name: string;
  /** As in the declaration: `dim: int = 4`. */
  readonly label: string;
  readonly doc: string | null;
  /** Whether an argument before the cursor is already assigned to the parameter. */
  readonly given: boolean;
}

export interface Signature {
  readonly label: string;
  readonly doc: string | null;
  readonly parameters: readonly SignatureParameter[];
  /** The index of the parameter being written; null if unknown. */
  readonly active: number | null;
}

/** Null outside of calls, and for a call of an unknown name. */
export function signatureAt(project: Project, file: string, at: number): Signature | null {
  const position = here(project, file, at);
  return position && calleeAt(project, position);
}

export function calleeAt(project: Project, { names, text, from, at }: Here): Signature | null {
  const call = openCall(text, from);
  if (!call) return null;
  const written = call.args.at(-1) ?? "";
  const named = call.args.flatMap((a) => /^\s*([A-Za-z_]\w*)\s*:/.exec(a)?.[1] ?? []);
  const position = call.args.length - 1;
  const current = /^\s*([A-Za-z_]\w*)\s*:/.exec(written + text.slice(from, at))?.[1] ?? null;
  const described = describedCall(project, names, call, named);
  if (!described) return null;
  const positional = call.args.slice(0, -1).filter((a) => !/^\s*[A-Za-z_]\w*\s*:/.test(a)).length;
  const parameters = described.parameters.map((p, i) => ({ ...p, given: i < positional || named.includes(p.name) }));
  const byName = current === null ? -1 : parameters.findIndex((p) => p.name === current);
  const active = byName >= 0 ? byName : named.length === 0 && position < parameters.length ? position : null;
  return { ...described, parameters, active };
}

type Described = Omit<Signature, "active" | "parameters"> & {
  readonly parameters: readonly Omit<SignatureParameter, "given">[];
};

function describedCall(project: Project, names: Names, call: OpenCall, named: readonly string[]): Described | null {
  const occurrence = names.occurrences.find((o) => o.span.start === call.nameStart);
  const [definition] = occurrence?.definitions ?? [];
  if (!definition) {
    const doc = occurrence?.object ? undefined : builtinDocs.get(call.name);
    return doc ? builtinCall(doc, call, named) : null;
  }
  const entered =
    definition.kind === "block" || definition.kind === "function"
      ? definition
      : forwardOf(project, names, definition, call);
  if (!entered) return null;
  const { signature, doc, parameters: docs } = textOfDefinition(project, entered);
  const declaring = entered.name.span.file === names.file ? names : project.names(entered.name.span.file);
  const takes = (declaring?.definitions ?? []).filter((d) =>
    entered.kind === "block"
      ? d.kind === "parameter" && d.owner === entered.node
      : d.kind === "input" && entered.kind === "function" && d.fn === entered.node,
  );
  const parameters = takes.map((d) => ({
    name: d.name.text,
    label: textOfDefinition(project, d).signature,
    doc: docs.find((p) => p.name === d.name.text)?.doc ?? null,
  }));
  return { label: signature, doc, parameters };
}

/** A built-in function, in the first of its forms that has the most arguments of the call that are written by name. */
function builtinCall({ name, signature, doc }: Documented, call: OpenCall, named: readonly string[]): Described {
  const forms = signature.split("\n").map((label) => ({ label, parameters: parametersOf(label) }));
  const fit = (form: (typeof forms)[number]): number =>
    form.parameters.filter((p) => named.includes(p.name)).length + (form.parameters.length < call.args.length ? -1 : 0);
  const best = forms.reduce((a, b) => (fit(b) > fit(a) ? b : a));
  // A parameter of another form is offered too, with its label there. A pattern has no name in its signature.
  const written = [best, ...forms].flatMap((form) => form.parameters);
  const parameters = (builtins.get(name)?.params ?? best.parameters).map(
    (p, i) => written.find((q) => q.name === p.name) ?? { ...(best.parameters[i] ?? unlabelled(p.name)), name: p.name },
  );
  return { label: best.label, doc, parameters };
}

const unlabelled = (name: string): Described["parameters"][number] => ({ name, label: name, doc: null });

/** The parameters that a signature writes: the parts between its parentheses, split at commas outside of brackets. */
function parametersOf(signature: string): Described["parameters"] {
  const labels: string[] = [];
  let depth = 0;
  let start = signature.indexOf("(") + 1;
  for (let i = start; i < signature.length && depth >= 0; i++) {
    const c = signature[i]!;
    if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    if (depth >= 0 && (c !== "," || depth > 0)) continue;
    labels.push(signature.slice(start, i).trim());
    start = i + 1;
  }
  return labels.map((label) => ({ ...unlabelled(/^[A-Za-z_]\w*/.exec(label)?.[0] ?? ""), label }));
}

/** The function entered by a call of an instance. */
function forwardOf(project: Project, names: Names, { kind }: Definition, call: OpenCall): Definition | null {
  if (kind !== "sub-block" && kind !== "parameter" && kind !== "each") return null;
  return names.calleesAt(call.nameStart)[0] ?? project.names(names.file)?.calleesAt(call.nameStart)[0] ?? null;
}

interface OpenCall {
  readonly name: string;
  readonly nameStart: number;
  /** Texts of the arguments up to the cursor; the last argument is being written. */
  readonly args: readonly string[];
}

/** The innermost call whose parenthesis is open at an offset. */
function openCall(text: string, at: number): OpenCall | null {
  const args: string[] = [];
  let depth = 0;
  let end = at;
  const least = Math.max(0, at - 4000);
  for (let i = at - 1; i >= least; i--) {
    const c = text[i]!;
    if (!"()[]{},".includes(c) || !isCode(text, i)) continue;
    if (c === ")" || c === "]") depth++;
    else if (c === "}" || (c === "{" && depth === 0)) return null;
    else if (c === "," && depth === 0) {
      args.unshift(text.slice(i + 1, end));
      end = i;
    } else if (c === "(" || c === "[") {
      if (depth-- > 0) continue;
      if (c === "[") {
        // An index or a list within the call: the arguments split so far belong to the list.
        args.length = 0;
        end = at;
        depth = 0;
        continue;
      }
      const name = /([A-Za-z_]\w*)\s*$/.exec(text.slice(Math.max(0, i - 300), i));
      if (!name) return null;
      const nameStart = i - name[0].length;
      return { name: name[1]!, nameStart, args: [text.slice(i + 1, end), ...args] };
    }
  }
  return null;
}
