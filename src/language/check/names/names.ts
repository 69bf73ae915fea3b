// Resolves a name to its value, and reports unknown names.
import type { Span } from "../../diagnostics/span.js";
import type { Checker } from "../model/checker.js";
import type { Binding, Instance } from "./bindings.js";
import { builtins } from "../builtins/index.js";
import { ERROR, type ConstValue } from "../model/context.js";
import type { Env } from "./environment.js";
import { libraryExports } from "./library.js";
import { nearest } from "../../../ground/numerics/nearest.js";

/** The value of a name's binding. */
export function valueOf(found: Binding, name: string, span: Span, env: Env): ConstValue {
  switch (found.kind) {
    case "value":
      return found.value;
    case "weight":
      if (env.body !== null) return env.body.weight(found.weight);
      env.checker.report(
        "not-compile-time",
        { what: env.place, value: `the ${found.weight.decl.kind} \`${name}\`` },
        span,
      );
      return ERROR;
    case "const":
      return constantOf(found, span, env);
    case "function":
    case "block":
      env.checker.report("not-a-value", { name, what: found.kind === "block" ? "a block" : "a function" }, span);
      return ERROR;
    default:
      return found satisfies never;
  }
}

/** Reports a name that an instance has no member of. */
export function unknownMember(checker: Checker, instance: Instance, name: string, span: Span): ConstValue {
  const parameter = instance.params.has(name);
  const members = [...instance.bodyNames.keys()];
  const suggestion = nearest(name, members);
  checker.report("unknown-member", { object: `\`${instance.block}\``, name, suggestion, parameter, members }, span);
  return ERROR;
}

export function unknownName(
  name: string,
  span: Span,
  env: Pick<Env, "checker" | "pending"> & { readonly scope: Pick<Env["scope"], "names"> },
  hint?: string,
): ConstValue {
  if (env.pending?.has(name)) env.checker.report("declared-later", { name }, span);
  else if (libraryExports().has(name)) {
    if (env.checker.useUnimported(name, span))
      env.checker.report("missing-import", { missing: [name], imported: [] }, span);
  } else if (!env.checker.hasReported("unknown-name", span)) {
    const candidates = new Set([
      ...env.scope.names(),
      ...builtins.keys(),
      "train",
      "generate",
      "ceil",
      "floor",
      "round",
      "len",
    ]);
    const suggestion = nearest(name, candidates);
    env.checker.report("unknown-name", { name, suggestion, ...(hint !== undefined && { hint }) }, span);
  }
  return ERROR;
}

/** The value of a constant, computed on first use. */
export function constantOf(
  { decl, file }: Extract<Binding, { kind: "const" }>,
  span: Span,
  env: Pick<Env, "checker" | "evaluate">,
): ConstValue {
  const { checker } = env;
  const known = checker.constants.get(decl);
  if (known !== undefined && known !== "open") return known;
  if (known === "open") {
    const open = [...checker.constants].filter(([, v]) => v === "open").map(([d]) => d.name.text);
    checker.report("constant-cycle", { chain: [...open.slice(open.indexOf(decl.name.text)), decl.name.text] }, span);
    return ERROR;
  }
  checker.constants.set(decl, "open");
  const value = env.evaluate(decl.value, {
    ...env,
    scope: file.scope,
    place: "a constant",
    body: null,
    make: null,
    pending: null,
  });
  checker.constants.set(decl, value);
  return value;
}
