// Writes the Python statements of a block's `forward` for one version of the model.
import type { Value } from "../../language/check/model/model.js";
import { attribute } from "./names.js";
import { axisMade, below, isWithin, type Body, type Item } from "./outline.js";
import { refuse } from "./refused.js";
import { axisVariables } from "./sequences.js";
import { LONGEST, Statements, type BodyOptions } from "./statements.js";
import type { Updates } from "./tallies.js";
import { RUN, type Needs } from "./variants.js";

export interface BodyText {
  readonly parameters: readonly string[];
  readonly lines: readonly string[];
  /** The Python return type. */
  readonly result: string;
}

export const bodyText = (body: Body, options: BodyOptions): BodyText => new Writer(body, options).write();

class Writer extends Statements {
  /**
   * Whether losses are collected in a dict `losses`, including losses of inner blocks. Otherwise the losses become
   * entries of the returned dict.
   */
  #collects = false;
  readonly #ownNames: string[] = [];
  write(): BodyText {
    const { body, options } = this;
    if (options.updates) return this.#moved(options.updates);
    if (options.stage) return this.#stage(options.stage);
    const parameters = this.#parameters();
    const { losses: gives, collects } = options.needs(options.variant, body.path);
    this.#collects = collects;
    if (this.#collects) this.lines.push("losses: dict[str, Tensor] = {}");
    for (const value of body.ins) this.#record(value);
    for (let i = 0; i < body.items.length;) i += this.#item(i);
    const outs = body.outs.map((value) => this.loose(value));
    if (gives) outs.push(this.#collects ? "losses" : "{}");
    if (body.path !== "") this.#return(outs.join(", "), body.outs.at(-1));
    else if (options.variant.entry === "objective") {
      if (options.variant.tallies.size > 0) this.lines.push("mt.keep(self, losses)");
      this.lines.push(gives ? "return losses" : `return {${this.#ownNames.join(", ")}}`);
    } else {
      const { outputs } = options.variant.model;
      const entries = outputs.map(({ name, value }) => `"${name}": ${this.loose(value)}`);
      this.#return(outputs.length === 1 ? this.loose(outputs[0]!.value) : `{${entries.join(", ")}}`, outputs[0]?.value);
    }
    const results = [...body.outs.map(typeOf), ...(gives ? ["dict[str, Tensor]"] : [])];
    const result = results.length === 1 ? results[0]! : `tuple[${results.join(", ")}]`;
    return { parameters, lines: this.lines, result };
  }

  /** Writes a run of the model's top-level statements for a pipeline stage. The losses are collected in a dict. */
  #stage({ given, made }: NonNullable<BodyOptions["stage"]>): BodyText {
    this.#collects = true;
    const x = this.names.fresh("x");
    this.#parameters();
    this.texts.set(given, { text: x, tight: true });
    for (let i = 0; i < this.body.items.length;) i += this.#item(i);
    if (made && this.loose(made) !== x) {
      if (this.body.items.some((item) => item.value === made)) this.note(made);
      this.lines.push(`${x} = ${this.loose(made)}`);
    }
    return { parameters: [], lines: this.lines, result: "" };
  }

  /** Writes the statements that compute new states after a training step, from the sums counted during the step. */
  #moved({ tallies, states }: Updates): BodyText {
    for (const { name, value } of tallies) {
      const tallied = this.names.fresh(name);
      const isMean = value.attrs.fn === "mean";
      const count = isMean ? ` / mt.over_ranks(self.${name}_count).clamp(min=1)` : "";
      this.lines.push(`${tallied} = mt.over_ranks(self.${name})${count}`);
      this.texts.set(value, { text: tallied, tight: true });
    }
    for (const { value } of this.body.items) this.value(value!); // it calls nothing
    const entries = states.map(({ name, value }) => `"${attribute(name)}": ${this.loose(value)}`);
    this.lines.push(`return {${entries.join(", ")}}`);
    return { parameters: [], lines: this.lines, result: "dict[str, Tensor]" };
  }

  /** Records a value as a loss or an observed value as soon as the value is defined. */
  #record(value: Value): void {
    const { records } = this.options.variant;
    for (const { kind, name, value: recorded } of records.get(this.body.path) ?? []) {
      if (recorded !== value) continue;
      const text = this.loose(value);
      if (kind === "losses") this.note(value);
      if (kind === "observed") this.lines.push(`run.observe(self, "${name}", ${text})`);
      else if (this.#collects) this.lines.push(`losses["${name}"] = ${text}`);
      else this.#ownNames.push(`"${name}": ${text}`);
    }
  }

  #return(text: string, value: Value | undefined): void {
    if (value && this.body.items.some((item) => item.value === value)) this.note(value);
    this.lines.push(`return ${text}`);
  }

  #parameters(): readonly string[] {
    const { body, options } = this;
    const { axes, run, foreign } = options.needs(options.variant, body.path);
    if (body.path === "") {
      for (const { name, value } of options.variant.model.inputs)
        this.texts.set(value, { text: this.names.fresh(name), tight: true });
      for (const [name, variable] of axisVariables(options.sequences, options.variant.model))
        this.axes.set(name, this.names.take(variable));
      return [];
    }
    const inputNames = options.notes.block(options.block)?.inputs ?? [];
    const names = body.ins.map((value, i) => {
      const text = this.names.fresh((inputNames.length === body.ins.length ? inputNames[i] : "xyzuvw"[i]) ?? "x");
      this.texts.set(value, { text, tight: true });
      for (const axis of axisMade(value)) this.axes.set(axis, `${text}.axis`);
      return `${text}: ${typeOf(value)}`;
    });
    const weights = new Set(options.variant.model.weights.map(({ path }) => path));
    const others = foreign.map((path) => {
      const name = this.names.fresh(options.stacks.placeOf(path).split(".").slice(-2).join("_").replace(/^\d+_/, ""));
      this.foreign.set(path, name);
      return `${name}: ${weights.has(path) ? "Tensor" : "nn.Module"}`;
    });
    const along = axes.map((axis) => {
      const isSorted = options.variant.sorted.has(axis);
      const name = this.names.fresh(isSorted ? "entries" : "axis", "_");
      this.axes.set(axis, name);
      return `${name}: mt.${isSorted ? "Entries" : "Axis"}`;
    });
    return [...names, ...others, ...along, ...(run ? [RUN] : [])];
  }

  /** Writes the item at this index; returns the number of items written. */
  #item(at: number): number {
    const item = this.body.items[at]!;
    if (item.body) {
      const looped = this.#loop(at);
      if (looped > 0) return looped;
      this.#call(item.body);
      for (const value of item.body.outs) this.#record(value);
      return 1;
    }
    if (item.value.op !== "input") this.value(item.value);
    this.#record(item.value);
    return 1;
  }

  #call(child: Body): void {
    const method = this.options.methodOf(child.path);
    const called = this.reach(child.instance) + (method === "forward" ? "" : `.${method}`);
    const text = `${called}(${this.#arguments(child).join(", ")})`;
    const [out, ...others] = child.outs;
    const { losses } = this.#needs(child);
    if (out && others.length === 0 && !losses && this.isUsedOnce(out) && text.length <= LONGEST) {
      this.texts.set(out, { text, tight: true });
      return;
    }
    const local = this.local(child.instance);
    const hint = this.options.notes.nameOfCall(this.options.block, local) ?? (/\d/.test(local) ? "x" : local);
    const names = child.outs.map((value) => this.nameFor(value, hint));
    const targets = losses ? [...names, "more"] : names;
    this.lines.push(targets.length === 0 ? text : `${targets.join(", ")} = ${text}`);
    if (losses) {
      if (!isWithin(child.path, this.body.path))
        refuse("a loss of a block that another than its own calls", child.path);
      this.lines.push(`losses.update(mt.below("${below(child.path, this.body.path)}", more))`);
    }
    child.outs.forEach((value, i) => {
      this.texts.set(value, { text: names[i]!, tight: true });
      for (const axis of axisMade(value)) this.axes.set(axis, `${names[i]!}.axis`);
    });
  }

  #needs({ path }: Body): Needs {
    return this.options.needs(this.options.variant, path);
  }

  /**
   * The arguments of a call. In a loop, `loopVariable` is the block, and "x" stands for every input, since the loop's
   * variables do not exist before the loop. A call with a number tells the run its number, for the paths of observed
   * values.
   */
  #arguments(child: Body, loopVariable: string | null = null): readonly string[] {
    const { axes, run, foreign } = this.#needs(child);
    const number = /#(\d+)$/.exec(child.path)?.[1];
    const isNumbered = number !== undefined && this.options.variant.model.observes.length > 0;
    const called = isNumbered ? `run.call(${loopVariable ?? this.reach(child.instance)}, ${number})` : "run";
    return [
      ...child.ins.map((value) => (loopVariable === null ? this.loose(value) : "x")),
      ...foreign.map((path) => this.reach(path)),
      ...axes.map((axis) => this.axis(axis)),
      ...(run ? [called] : []),
    ];
  }

  /**
   * Writes calls of a list's blocks, each on the previous block's result, as a loop. Returns the number of items
   * written, or 0 if no such list begins here.
   */
  #loop(at: number): number {
    const first = this.body.items[at]!.body!;
    const list = /^(.*)\.0$/.exec(first.instance)?.[1];
    if (list === undefined || first.ins.length !== 1 || !isWithin(first.path, this.body.path)) return 0;
    const callNumber = first.path.slice(`${this.prefix}${this.local(first.instance)}`.length); // `#2`
    const method = this.options.methodOf(first.path);
    const bodies: Body[] = [];
    for (const item of this.body.items.slice(at)) {
      const before = bodies.at(-1);
      if (!follows(item, `${list}.${bodies.length}`, before)) break;
      if (this.options.methodOf(item.body!.path) !== method || !item.body!.path.endsWith(callNumber)) return 0;
      if (before && this.uses.get(before.outs[0]!) !== 1) return 0;
      bodies.push(item.body!);
    }
    const size = this.options.variant.model.instances.filter(
      ({ path }) => path.startsWith(`${list}.`) && /^\d+$/.test(path.slice(list.length + 1)),
    ).length;
    if (bodies.length < 2 || bodies.length !== size) return 0;
    const more = this.#arguments(first, "layer").slice(1);
    if (bodies.some((body) => this.#arguments(body, "layer").slice(1).join() !== more.join())) return 0;
    const start = this.loose(first.ins[0]!);
    const x = this.options.stage && start === "x" ? start : this.names.fresh("x");
    if (x !== start) this.lines.push(`${x} = ${start}`);
    const called = `layer${method === "forward" ? "" : `.${method}`}(${[x, ...more].join(", ")})`;
    if (this.#needs(first).losses)
      this.lines.push(
        `for i, layer in enumerate(${this.reach(list)}):`,
        `    ${x}, more = ${called}`,
        `    losses.update(mt.below(f"${this.local(list)}.{i}${callNumber}", more))`,
      );
    else this.lines.push(`for layer in ${this.reach(list)}:`, `    ${x} = ${called}`);
    this.texts.set(bodies.at(-1)!.outs[0]!, { text: x, tight: true });
    return bodies.length;
  }
}

const typeOf = (value: Value): string => (axisMade(value).length > 0 ? "mt.Route" : "Tensor");

function follows(item: Item, instance: string, before: Body | undefined): boolean {
  if (item.body?.instance !== instance || item.body.outs.length !== 1) return false;
  return before === undefined || (item.body.ins.length === 1 && item.body.ins[0] === before.outs[0]);
}
