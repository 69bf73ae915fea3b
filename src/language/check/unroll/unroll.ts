// Unrolls functions: the entered function and all functions it calls become one list of operations.
import type { Code, DataOf } from "../../diagnostics/catalogue.js";
import type { Note } from "../../diagnostics/diagnostic.js";
import { invariant } from "../../../ground/base/invariant.js";
import type { Span } from "../../diagnostics/span.js";
import type { CountRule } from "../../../ground/size/count-rules.js";
import type { Expr, Fn, Name, Stmt } from "../../syntax/ast.js";
import type { Binding, Instance, WeightRecord } from "../names/bindings.js";
import { nameOfFunction } from "../eval/call.js";
import {
  enterCall,
  type CallNode,
  type FoundLoss,
  type FoundMixture,
  type FoundObserve,
  type FoundRoute,
  type FoundUpdate,
} from "./call-tree.js";
import { ERROR, type ConstValue, type Argument } from "../model/context.js";
import { toValue } from "../tensors/convert.js";
import { endInZeros } from "../tensors/ragged-entries.js";
import { Emitted } from "./emitted.js";
import type { FunctionBody } from "../names/environment.js";
import { conditionOf, environment, evaluate, itemsOf } from "../eval/evaluate.js";
import { MAX_CALLS, MAX_DEPTH, MAX_OPERATIONS, MAX_RANK } from "../model/limits.js";
import { MadeAxes } from "./made-axes.js";
import { madeAt } from "../instances/made-at.js";
import { NO_RESULT, type Entering, type Frame, type Result } from "./frame.js";
import { inputsOf, tellInputs } from "./inputs.js";
import { typeEnv, TypeMatcher, type Typed } from "./match-types.js";
import { lossOf, secondUpdates, updateOf } from "./training.js";
import { WeightValues } from "./weight-values.js";
import type {
  Entry,
  EntryChoice,
  LiveParameter,
  LogicalAttrs,
  LogicalAxis,
  LogicalOp,
  LogicalType,
  Model,
  Phase,
  Value,
} from "../model/model.js";
import type { Checker, Trace } from "../model/checker.js";
import { Tally } from "../instances/tally.js";
import { describe, hasError } from "../model/values.js";

export interface UnrollOptions {
  readonly checker: Checker;
  readonly entry: Entry;
  readonly live: readonly LiveParameter[];
}

export class Unroller implements FunctionBody {
  readonly phase: Phase;
  readonly dense: boolean;
  readonly losses: FoundLoss[] = [];
  readonly observes: FoundObserve[] = [];
  readonly updates: FoundUpdate[] = [];
  readonly routes = new Map<Value, FoundRoute>();
  readonly mixtures: FoundMixture[] = [];
  readonly axes = new MadeAxes();
  batch: string | null = null;
  readonly #options: UnrollOptions;
  readonly #emitted = new Emitted();
  readonly #inCalls = new Set<Value>();
  readonly #weights = new WeightValues((...operation) => this.emit(...operation));
  readonly #calls: Tally<Fn>;
  readonly #entered: CallNode[] = [];
  #frame: Frame | null = null;

  constructor(options: UnrollOptions) {
    this.#options = options;
    this.#calls = new Tally(options.checker, "calls of functions", MAX_CALLS);
    this.phase = options.checker.phase;
    this.dense = options.checker.dense;
  }

  // --- what built-in functions and operators use

  emit<K extends LogicalOp>(
    op: K,
    inputs: readonly Value[],
    attrs: LogicalAttrs[K],
    type: LogicalType,
    span: Span,
  ): Value<K> {
    invariant(this.#frame !== null, "an operation outside of any function");
    if (this.#emitted.count >= MAX_OPERATIONS) this.#checker.abort("operations", MAX_OPERATIONS, span);
    if (type.shape.length > MAX_RANK) this.#checker.abort("dimensions in one tensor", MAX_RANK, span);
    const value = this.#emitted.add(this.#frame.node, this.#checker.trace, { op, inputs, attrs, type, span });
    if (this.#frame.depth > 1) this.#inCalls.add(value);
    return value;
  }

  report<C extends Code>(code: C, data: DataOf<C>, span: Span, notes: readonly Note[] = []): void {
    this.#reportIn(this.#frame?.node ?? null, this.#checker.trace, code, data, span, notes);
  }

  /** Reports at a value's span, with the calls that led to it; for use after unrolling. */
  reportAt<C extends Code>(
    value: Value,
    code: C,
    data: DataOf<C>,
    span: Span = value.span,
    notes: readonly Note[] = [],
  ): void {
    const { node, trace } = this.#emitted.madeBy(value);
    this.#reportIn(node, trace, code, data, span, notes);
  }

  #reportIn<C extends Code>(
    node: CallNode | null,
    calls: Trace | null,
    code: C,
    data: DataOf<C>,
    span: Span,
    notes: readonly Note[],
  ): void {
    const origin =
      node === null ? { trace: calls, notes: [] } : madeAt(this.#checker, code, span, node.instance, calls);
    this.#checker.report(code, data, span, [...notes, ...origin.notes], origin.trace);
  }

  /** Whether a function called by the entered one emitted the value. */
  madeInCall(value: Value): boolean {
    return this.#inCalls.has(value);
  }

  axis(name: string): LogicalAxis {
    return this.axes.axis(name);
  }

  live(name: string): LiveParameter {
    const found = this.#options.live.find((l) => l.name === name);
    invariant(found !== undefined, `no live parameter ${name}`);
    return found;
  }

  makeAxis(hint: string, bound: number | null, count: CountRule): string {
    return this.axes.make(hint, bound, count);
  }

  makeEntryAxis(hint: string, bound: number, ragged: boolean): string {
    return this.axes.makeEntries(hint, bound, ragged);
  }

  stream(): string {
    invariant(this.#frame !== null, "random values outside of any function");
    return this.#emitted.stream(this.#frame.node);
  }

  get #checker(): Checker {
    return this.#options.checker;
  }

  // --- what expressions use

  weight(weight: WeightRecord): ConstValue {
    return { kind: "tensor", value: this.#weights.of(weight) };
  }

  readonly callForAll: FunctionBody["callForAll"] = (...call) => this.#weights.callForAll(...call);

  mixed(mixture: Omit<FoundMixture, "node">): void {
    invariant(this.#frame !== null, "experts outside of any function");
    this.mixtures.push({ node: this.#frame.node, ...mixture });
  }

  call(instance: Instance, fn: Fn, args: ReadonlyMap<string, Argument>, span: Span): ConstValue {
    const caller = this.#frame;
    invariant(caller !== null, "a call outside of any function");
    const callee = nameOfFunction(instance, fn);
    for (let f: Frame | null = caller; f !== null; f = f.outer) {
      if (f.fn === fn && f.node.instance === instance) {
        this.#checker.report("recursive-function", { name: callee }, span);
        return ERROR;
      }
    }
    if (caller.depth >= MAX_DEPTH) this.#checker.abort("functions that call one another in a row", MAX_DEPTH, span);
    this.#calls.add(fn, callee, span);
    return this.#checker.withinCall(span, () => {
      const matcher = new TypeMatcher(typeEnv(this.#checker, instance), instance, callee, this);
      const inputs = inputsOf(this, fn, args, callee, span);
      if (inputs === null || !matcher.match(inputs.map((i) => i.typed))) return ERROR;
      const locals = new Map(matcher.axes);
      for (const { typed, value } of inputs) locals.set(typed.name, { kind: "value", value });
      const node = enterCall(caller, instance, fn.name.text);
      if (node !== caller.node) {
        this.#weights.entered(node);
        this.#entered.push(node);
      }
      const result = this.run({ instance, fn, node, locals, matcher });
      this.#checker.witness?.called?.(span, instance, fn, node, result);
      return result;
    });
  }

  // --- functions and statements

  /** Unrolls a function whose inputs are bound; returns its result: a tensor, or a tuple of named tensors. */
  run({ instance, fn, node, locals, matcher }: Entering): ConstValue {
    const outer = this.#frame;
    const scope = instance.bodyScope.inner(locals);
    const env = environment(this.#checker, scope, "a function", { body: this });
    const frame: Frame = { node, outer, fn, env, depth: (outer?.depth ?? 0) + 1, losses: new Map() };
    this.#frame = frame;
    tellInputs(this.#checker.witness, fn, locals);
    const objective = fn.name.text === "objective";
    const last = this.#statements(fn.body, frame, !objective);
    const result = objective ? NO_RESULT : this.#results(fn, last, matcher, nameOfFunction(instance, fn));
    this.#frame = outer;
    return result;
  }

  /** Executes statements; returns the value of the last one if it is an expression. */
  #statements(body: readonly Stmt[], frame: Frame, wanted: boolean): Result | null {
    let last: Result | null = null;
    for (let i = 0; i < body.length; i++) last = this.#statement(body[i]!, frame, wanted && i === body.length - 1);
    return last;
  }

  #nested({ span }: Stmt, body: readonly Stmt[], frame: Frame, wanted: boolean): Result | null {
    this.#checker.enter(span);
    const last = this.#statements(body, frame, wanted);
    this.#checker.leave();
    return last;
  }

  #statement(stmt: Stmt, frame: Frame, wanted: boolean): Result | null {
    const { env } = frame;
    switch (stmt.kind) {
      case "assign":
        this.#assign(stmt, frame);
        return null;
      case "for":
        this.#for(stmt, frame);
        return null;
      case "if": {
        const chosen = conditionOf(stmt.condition, env);
        if (chosen === null) return { value: ERROR, span: stmt.span };
        return this.#nested(stmt, chosen ? stmt.then : stmt.else, frame, wanted);
      }
      case "loss":
        this.#loss(stmt, frame);
        return null;
      case "observe":
        this.#observe(stmt, frame);
        return null;
      case "update":
        this.#update(stmt, frame);
        return null;
      case "expr": {
        const value = evaluate(stmt.value, env);
        if (!wanted && stmt.value.kind !== "call" && value.kind !== "error") this.report("unused-value", {}, stmt.span);
        return { value, span: stmt.value.span };
      }
      default:
        return stmt satisfies never;
    }
  }

  #assign(stmt: Extract<Stmt, { kind: "assign" }>, { env, node }: Frame): void {
    const value = evaluate(stmt.value, env);
    const locals = env.scope.table;
    const [first, ...more] = stmt.targets;
    if (first !== undefined && more.length === 0) {
      if (value === NO_RESULT) this.report("no-value", { what: "this call" }, stmt.value.span);
      if (value.kind === "route" && !this.routes.has(value.value))
        this.routes.set(value.value, { node, name: first.text, axis: value.value.attrs.axis });
      this.#bind(locals, first, value === NO_RESULT ? ERROR : value);
      return;
    }
    const items = value.kind === "tuple" || value.kind === "list" ? value.items : null;
    const fits = items !== null && items.length === stmt.targets.length;
    if (!fits && value.kind !== "error")
      this.report("unpack-count", { targets: stmt.targets.length, found: describe(value) }, stmt.value.span);
    stmt.targets.forEach((t, i) => this.#bind(locals, t, fits ? (items[i] ?? ERROR) : ERROR));
  }

  #bind(locals: Map<string, Binding>, name: Name, value: ConstValue): void {
    locals.set(name.text, { kind: "value", value });
    this.#checker.witness?.bound?.(name, value);
  }

  /** The loop variable is local to the loop; names bound in the body are visible after it. */
  #for(stmt: Extract<Stmt, { kind: "for" }>, frame: Frame): void {
    const items = itemsOf(stmt.list, frame.env);
    const locals = frame.env.scope.table;
    const name = stmt.name.text;
    const hidden = locals.get(name);
    for (const value of items ?? [ERROR]) {
      this.#bind(locals, stmt.name, value);
      this.#nested(stmt, stmt.body, frame, false);
    }
    if (hidden === undefined) locals.delete(name);
    else locals.set(name, hidden);
  }

  #loss(stmt: Extract<Stmt, { kind: "loss" }>, frame: Frame): void {
    const loss = lossOf(stmt, frame, this);
    if (loss !== null && this.#options.entry === "objective") this.losses.push(loss);
  }

  #update(stmt: Extract<Stmt, { kind: "update" }>, frame: Frame): void {
    const update = updateOf(stmt, frame, this, this.#checker.trace);
    if (update !== null && this.#options.entry === "objective" && this.phase === "train") this.updates.push(update);
  }

  #observe(stmt: Extract<Stmt, { kind: "observe" }>, frame: Frame): void {
    const expr: Expr = { kind: "name", name: stmt.name.text, span: stmt.name.span };
    const value = evaluate(expr, frame.env);
    if (value.kind === "tensor" || value.kind === "route" || value.kind === "choice") {
      const seen = value.kind === "tensor" ? endInZeros(this, value.value, stmt.span) : value.value;
      this.observes.push({ node: frame.node, name: stmt.name.text, value: seen });
    } else if (value.kind !== "error")
      this.report("not-observable", { name: stmt.name.text, found: describe(value) }, stmt.name.span);
  }

  // --- results

  #results(fn: Fn, last: Result | null, matcher: TypeMatcher, callee: string): ConstValue {
    const { results } = fn;
    if (results.length === 0) return last?.value ?? NO_RESULT;
    if (last !== null && hasError(last.value)) return ERROR;
    const several = last?.value.kind === "list" || (last?.value.kind === "tuple" && last.value !== NO_RESULT);
    const items =
      last === null || last.value === NO_RESULT
        ? []
        : several && "items" in last.value
          ? last.value.items
          : [last.value];
    if (last === null || items.length !== results.length) {
      this.report(
        "result-count",
        { callee, expected: results.length, found: last === null ? "no expression" : describe(last.value) },
        last?.span ?? fn.name.span,
      );
      return ERROR;
    }
    const typed: Typed[] = [];
    const values: ConstValue[] = [];
    for (const [i, r] of results.entries()) {
      const name = r.name?.text ?? "output";
      const value = toValue(this, items[i] ?? ERROR, r.type.dtype, [], `the result of \`${callee}\``, last.span);
      if (value === null) return ERROR;
      typed.push({ name, role: "result", declared: r.type, found: value.type, span: last.span });
      values.push({ kind: "tensor", value: this.#frame?.outer ? value : endInZeros(this, value, last.span) });
    }
    if (!matcher.match(typed)) return ERROR;
    const [only] = values;
    return only !== undefined && values.length === 1
      ? only
      : { kind: "tuple", names: typed.map((t) => t.name), items: values };
  }

  /** Runs `work` in the frame of the entered function, for its inputs, which belong to the model's own call. */
  within<T>(instance: Instance, fn: Fn, node: CallNode, work: () => T): T {
    const env = environment(this.#checker, instance.bodyScope, "a function", { body: this });
    this.#frame = { node, outer: null, fn, env, depth: 0, losses: new Map() };
    const result = work();
    this.#frame = null;
    return result;
  }

  /** The calls of instances, in order; their paths are known once all are. */
  get calls(): Model["calls"] {
    return this.#entered.flatMap(({ path, origin, isForgotten }) =>
      origin === null || isForgotten ? [] : [{ path, caller: origin.caller.path, fn: origin.fn }],
    );
  }

  /** Sets the path under which a choice of entries is observed. */
  nameChoice(choice: EntryChoice, path: string): void {
    this.#emitted.nameChoice(choice, path);
  }

  /** Sets paths, streams and the extents of entry axes, once all calls are known; reports states updated twice. */
  finish(): void {
    this.#emitted.finish((size) => this.axes.plain(size));
    for (const { first, second } of secondUpdates(this.updates)) {
      const { state, node, trace, span } = second;
      const notes = first.span.start === span.start ? [] : [{ text: "the other update", span: first.span }];
      const calls = [first.node.path, node.path] as const;
      const library = this.#checker.isLibrary(span.file);
      this.#reportIn(node, trace, "state-set-twice", { state: state.decl.name.text, calls, library }, span, notes);
    }
  }
}
