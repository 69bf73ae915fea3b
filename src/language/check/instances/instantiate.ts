// Instantiates blocks: binds parameters and evaluates members, recursively.
import type { Span } from "../../diagnostics/span.js";
import { isInteger } from "../../../ground/numerics/rational.js";
import type { Arg, Block, Expr, Member, Name, Param, SubBlock, Weight } from "../../syntax/ast.js";
import { bindArguments, signature, type Signature } from "../names/arguments.js";
import { Instance, type Binding, type LoadedFile } from "../names/bindings.js";
import { ERROR, type ConstValue, type ListValue } from "../model/context.js";
import type { Env } from "../names/environment.js";
import { conditionOf, environment, evaluate, integerOf } from "../eval/evaluate.js";
import { defaultInitialiser, initialiserOf, ZEROS } from "./initialiser.js";
import { assignOwner } from "../names/instance.js";
import { MAX_DEPTH, MAX_EXTENT, MAX_INSTANCES } from "../model/limits.js";
import { checkOption } from "./options.js";
import { namesOf } from "../../names/definitions.js";
import { convert } from "./parameters.js";
import { Abort, type Checker } from "../model/checker.js";
import { Tally } from "./tally.js";
import { describe, hasError, printNumber } from "../model/values.js";

/** The signature of a block, and its parameters by name. */
interface Interface {
  readonly takes: Signature;
  readonly params: ReadonlyMap<string, Param>;
}

const interfaces = new WeakMap<Block, Interface>();

function interfaceOf(block: Block): Interface {
  let known = interfaces.get(block);
  if (known === undefined) {
    const parameters = block.params.map((p) => ({ name: p.name.text, optional: p.default !== null, named: false }));
    known = {
      takes: signature(block.name.text, parameters),
      params: new Map(block.params.map((p) => [p.name.text, p])),
    };
    interfaces.set(block, known);
  }
  return known;
}

/** `choose numbers that divide: dim is 128, heads is 5`; undefined if the expression reads no numbers. */
function divisorsOf(value: Expr, params: ReadonlyMap<string, Binding>): string | undefined {
  const names: string[] = [];
  const collect = (e: Expr): void => {
    if (e.kind === "name") names.push(e.name);
    else if (e.kind === "unary") collect(e.operand);
    else if (e.kind === "binary") [e.left, e.right].forEach(collect);
  };
  collect(value);
  const numbers = [...new Set(names)].flatMap((name) => {
    const binding = params.get(name);
    return binding?.kind === "value" && binding.value.kind === "number"
      ? [`${name} is ${printNumber(binding.value)}`]
      : [];
  });
  return numbers.length === 0 ? undefined : `choose numbers that divide: ${numbers.join(", ")}`;
}

/** Creates the instances of a model. */
export class Instantiator {
  readonly #created: Tally<Block>;
  #depth = 0;
  /** Defaults and arguments that were reported because they are not whole, with their values. */
  readonly #notWhole = new Set<string>();

  constructor(readonly checker: Checker) {
    this.#created = new Tally(checker, "instances of blocks", MAX_INSTANCES);
  }

  /** `Block(args)` in a member, a default or an argument. */
  readonly make = (block: Block, file: LoadedFile, args: readonly Arg[], span: Span, env: Env): ConstValue => {
    const callee = block.name.text;
    const { takes, params } = interfaceOf(block);
    const bound = bindArguments(this.checker, takes, args, span, (arg) => arg);
    const argumentValues = new Map<string, ConstValue>();
    for (const [name, arg] of bound ?? []) {
      const param = params.get(name);
      const value = evaluate(arg.value, env);
      const what = `\`${name}\` of \`${callee}\``;
      const converted = !param
        ? value
        : this.#isKnown(param, value, `${arg.value.span.file} ${what}`)
          ? ERROR
          : convert(this.checker, value, param.type, what, arg.value.span);
      if (param) checkOption(this.checker, block, param, converted, arg.value.span);
      argumentValues.set(name, converted);
    }
    if (bound === null) return ERROR;
    const instance = new Instance(block, file, span);
    this.checker.withinCall(span, () =>
      this.bindParameters(instance, (p, value) => argumentValues.get(p.name.text) ?? value()),
    );
    return { kind: "instance", instance };
  };

  /**
   * Binds the parameters and members of an instance. `given` returns the value of a parameter; its second argument
   * computes the default.
   */
  bindParameters(instance: Instance, given: (param: Param, value: () => ConstValue) => ConstValue): void {
    const { checker } = this;
    instance.trace = checker.trace;
    this.#created.add(instance.decl, instance.block, instance.span);
    if (++this.#depth > MAX_DEPTH) {
      checker.report("endless-instances", { block: instance.block, limit: MAX_DEPTH }, instance.span);
      throw new Abort();
    }
    for (const p of instance.decl.params) {
      const name = p.name.text;
      const value = given(p, () => this.#default(p, instance));
      assignOwner(value, instance, name);
      instance.params.set(name, { kind: "value", value });
      checker.witness?.bound?.(p.name, value);
    }
    const pending = new Set(namesOf(instance.decl.members));
    this.#members(instance.decl.members, instance, pending);
    this.#depth--;
  }

  #default(p: Param, instance: Instance): ConstValue {
    if (p.default === null) return ERROR;
    const scope = instance.file.scope.inner(instance.params);
    const value = evaluate(
      p.default,
      environment(this.checker, scope, "the default of a parameter", { make: this.make }),
    );
    // One message for all layers whose block has this default, and these parameters.
    const { file, start } = p.default.span;
    if (this.#isKnown(p, value, `${file}:${start}`)) return ERROR;
    const hint = divisorsOf(p.default, instance.params);
    return convert(this.checker, value, p.type, `the default of \`${p.name.text}\``, p.default.span, hint);
  }

  /** Whether a value that must be whole is not, and the same value has been reported for this place. */
  #isKnown({ type }: Param, value: ConstValue, place: string): boolean {
    if (type.kind !== "int" || value.kind !== "number" || isInteger(value.value)) return false;
    const key = `${place} ${printNumber(value)}`;
    const known = this.#notWhole.has(key);
    this.#notWhole.add(key);
    return known;
  }

  #members(members: readonly Member[], instance: Instance, pending: Set<string>): void {
    const env = environment(this.checker, instance.memberScope, "a member", { make: this.make, pending });
    for (const m of members) {
      switch (m.kind) {
        case "sub-block":
          this.#subBlock(m, instance, env);
          pending.delete(m.name.text);
          break;
        case "weight":
        case "state":
          this.#weight(m, instance, { ...env, place: `a ${m.kind}` });
          pending.delete(m.name.text);
          break;
        case "function":
          this.#declare(instance, m.name, { kind: "function", instance, fn: m });
          break;
        case "member-if": {
          const chosen = conditionOf(m.condition, { ...env, place: "a condition" });
          if (chosen !== null) {
            this.checker.enter(m.span);
            this.#members(chosen ? m.then : m.else, instance, pending);
            this.checker.leave();
          } else for (const name of namesOf([...m.then, ...m.else])) this.#unknown(instance, name);
          break;
        }
        case "names":
          instance.names.push(m);
          break;
        default:
          m satisfies never;
      }
    }
  }

  /** Declares a member; false, after a report, if the name is taken. */
  #declare(instance: Instance, name: Name, binding: Binding): boolean {
    if (instance.bodyNames.has(name.text)) {
      this.checker.report("duplicate-name", { name: name.text, where: "among the members" }, name.span);
      return false;
    }
    instance.bodyNames.set(name.text, binding);
    if (binding.kind !== "function") instance.members.set(name.text, binding);
    return true;
  }

  /** Declares a member that exists only under an undecidable condition: its use is already an error. */
  #unknown(instance: Instance, name: string): void {
    if (!instance.bodyNames.has(name)) instance.bodyNames.set(name, { kind: "value", value: ERROR });
  }

  #subBlock(m: SubBlock, instance: Instance, env: Env): void {
    const found = evaluate(m.value, env);
    const stranger = hasError(found) ? null : firstThatIsNoBlock(found);
    if (stranger !== null)
      this.checker.report("not-a-block", { name: m.name.text, found: describe(stranger) }, m.value.span);
    const value = stranger !== null || hasError(found) ? ERROR : found;
    this.checker.witness?.bound?.(m.name, value);
    if (this.#declare(instance, m.name, { kind: "value", value })) assignOwner(value, instance, m.name.text);
  }

  #weight(m: Weight, instance: Instance, env: Env): void {
    const { kind } = m;
    const { dtype } = m.type;
    const shape = this.#shape(m, env);
    const init =
      shape === null
        ? ZEROS
        : m.init !== null
          ? initialiserOf(m.init, { kind, dtype, shape }, env)
          : kind === "state"
            ? ZEROS
            : defaultInitialiser(dtype, shape);
    const unfit = kind === "state" ? dtype !== "f32" : dtype === "bool";
    if (unfit) this.checker.report("weight-type", { kind, reason: `cannot be of ${dtype}` }, m.type.span);
    if (shape === null || init === null || unfit) {
      this.#unknown(instance, m.name.text);
      return;
    }
    this.checker.witness?.stored?.(m.name, { dtype, shape });
    const weight = { owner: instance, decl: m, dtype, shape, init };
    if (this.#declare(instance, m.name, { kind: "weight", weight })) instance.owned.push(weight);
  }

  #shape(m: Weight, env: Env): readonly number[] | null {
    const shape: number[] = [];
    for (const d of m.type.dims) {
      if (d.kind === "rest" || d.bound !== null) {
        this.checker.report(
          "weight-type",
          {
            kind: m.kind,
            reason: d.kind === "rest" ? "has no open dimensions" : "has no bounds, its dimensions are known",
          },
          d.span,
        );
        return null;
      }
      const size = extentOf(d.value, `a dimension of the ${m.kind} \`${m.name.text}\``, env);
      if (size === null) return null;
      shape.push(size);
    }
    return shape;
  }
}

/** An integer from 1 to the largest extent; null after a report. */
export function extentOf(expr: Expr, what: string, env: Env): number | null {
  const n = integerOf(evaluate(expr, env), what, expr.span, env);
  if (n === null || (n >= 1 && n <= MAX_EXTENT)) return n;
  const { checker } = env;
  // A library block may have created the block with a computed extent.
  const origin = checker.trace?.span;
  const notes = origin && checker.isLibrary(origin.file) ? [{ text: "made here", span: origin }] : [];
  checker.report("size-out-of-range", { what, value: String(n), max: MAX_EXTENT }, expr.span, notes);
  return null;
}

/** Lists that contain only instances, at any depth. */
const ofBlocks = new WeakSet<ListValue>();

/** The first item, at any depth, that is not an instance. Visits each shared list once. */
function firstThatIsNoBlock(root: ConstValue): ConstValue | null {
  const seen = new Set<ListValue>();
  const todo = [root];
  for (let value = todo.pop(); value !== undefined; value = todo.pop()) {
    if (value.kind === "instance") continue;
    if (value.kind !== "list") return value;
    if (seen.has(value) || ofBlocks.has(value)) continue;
    seen.add(value);
    for (let i = value.items.length - 1; i >= 0; i--) todo.push(value.items[i]!);
  }
  for (const list of seen) ofBlocks.add(list);
  return null;
}
