// The statements of one block's `forward`, for one version of the model.
import type { Value } from "../check/model.js";
import { toNumber } from "../size/rational.js";
import { axisMade, axisOfTokens, type Body, type Item } from "./outline.js";
import { pythonFloat, pythonNumber, type Holes } from "./holes.js";
import { Names, reached } from "./names.js";
import { refuse } from "./refused.js";
import type { SourceNotes } from "./source-notes.js";
import { expression, type Text } from "./torch-ops.js";
import type { Needs, Variant } from "./variants.js";

export interface BodyText {
  readonly parameters: readonly string[];
  readonly lines: readonly string[];
  /** The type of what it returns. */
  readonly result: string;
}

export interface BodyOptions {
  readonly variant: Variant;
  readonly notes: SourceNotes;
  readonly holes: Holes;
  readonly needs: (path: string) => Needs;
  /** The block's name in the source. */
  readonly block: string;
}

/** Longer expressions are not written into others. */
const LONGEST = 76;
/** Nor are shorter ones, to which the source gives a name. */
const LONGEST_NAMED = 40;
/** What a value is called where its source gives it no name. */
const CALLED: Partial<Record<Value["op"], string>> = {
  top: "chosen",
  above: "chosen",
  those: "chosen",
  attention: "seen",
  take: "rows",
  put: "x",
  mask: "mask",
  cross_entropy: "loss",
  bce: "loss",
};

export const bodyText = (body: Body, options: BodyOptions): BodyText => new Writer(body, options).write();

class Writer {
  readonly #names = new Names();
  readonly #texts = new Map<Value, Text>();
  readonly #axes = new Map<string, string>();
  readonly #lines: string[] = [];
  readonly #uses = new Map<Value, number>();
  /** What reads a value, last of all. */
  readonly #user = new Map<Value, Value>();
  /** Whether it gathers losses, its own or those of inner blocks; else those of the model, as entries of a dict. */
  #collects = false;
  readonly #own: string[] = [];
  #noted = "";

  constructor(
    private readonly body: Body,
    private readonly options: BodyOptions,
  ) {
    const read = body.items.flatMap((item) => (item.value ? item.value.inputs : item.body.ins));
    for (const { value } of body.items) for (const input of value?.inputs ?? []) this.#user.set(input, value!);
    const recorded = (options.variant.records.get(body.path) ?? []).map(({ value }) => value);
    for (const value of [...read, ...body.outs, ...recorded]) this.#uses.set(value, (this.#uses.get(value) ?? 0) + 1);
  }

  write(): BodyText {
    const { body, options } = this;
    const parameters = this.#parameters();
    const { losses: gives, collects } = options.needs(body.path);
    this.#collects = collects;
    if (this.#collects) this.#lines.push("losses: dict[str, Tensor] = {}");
    for (const value of body.ins) this.#record(value);
    for (let i = 0; i < body.items.length;) i += this.#item(i);
    const outs = body.outs.map((value) => this.#loose(value));
    if (gives) outs.push(this.#collects ? "losses" : "{}");
    if (body.path !== "") this.#return(outs.join(", "), body.outs.at(-1));
    else if (options.variant.entry === "objective")
      this.#lines.push(gives ? "return losses" : `return {${this.#own.join(", ")}}`);
    else {
      const { outputs } = options.variant.model;
      const entries = outputs.map(({ name, value }) => `"${name}": ${this.#loose(value)}`);
      this.#return(
        outputs.length === 1 ? this.#loose(outputs[0]!.value) : `{${entries.join(", ")}}`,
        outputs[0]?.value,
      );
    }
    const results = [...body.outs.map(typeOf), ...(gives ? ["dict[str, Tensor]"] : [])];
    const result = results.length === 1 ? results[0]! : `tuple[${results.join(", ")}]`;
    return { parameters, lines: this.#lines, result };
  }

  /** What is recorded of a value, as soon as it is there. */
  #record(value: Value): void {
    const { records } = this.options.variant;
    for (const { kind, name, value: recorded } of records.get(this.body.path) ?? []) {
      if (recorded !== value) continue;
      const text = this.#loose(value);
      if (kind === "losses") this.#note(value);
      if (kind === "observed") this.#lines.push(`run.observe(self, "${name}", ${text})`);
      else if (this.#collects) this.#lines.push(`losses["${name}"] = ${text}`);
      else this.#own.push(`"${name}": ${text}`);
    }
  }

  #return(text: string, value: Value | undefined): void {
    if (value && this.body.items.some((item) => item.value === value)) this.#note(value);
    this.#lines.push(`return ${text}`);
  }

  #parameters(): readonly string[] {
    const { body, options } = this;
    const { axes, run } = options.needs(body.path);
    if (body.path === "") {
      for (const { name, value } of options.variant.model.inputs)
        this.#texts.set(value, { text: this.#names.fresh(name), tight: true });
      for (const axis of options.variant.model.axes)
        if (axis.role === "sequence" && axis.count.kind === "input") this.#axes.set(axis.name, "axis");
      return [];
    }
    const given = options.notes.block(options.block)?.inputs ?? [];
    const names = body.ins.map((value, i) => {
      const text = this.#names.fresh((given.length === body.ins.length ? given[i] : "xyzuvw"[i]) ?? "x");
      this.#texts.set(value, { text, tight: true });
      return `${text}: ${typeOf(value)}`;
    });
    axes.forEach((axis, i) => this.#axes.set(axis, i === 0 ? "axis" : `axis_${i}`));
    return [...names, ...axes.map((axis) => `${this.#axes.get(axis)!}: mt.Axis`), ...(run ? ["run: mt.Run"] : [])];
  }

  /** How many items it has written. */
  #item(at: number): number {
    const item = this.body.items[at]!;
    if (item.body) {
      const looped = this.#loop(at);
      if (looped > 0) return looped;
      this.#call(item.body);
      for (const value of item.body.outs) this.#record(value);
      return 1;
    }
    if (item.value.op !== "input") this.#value(item.value);
    this.#record(item.value);
    return 1;
  }

  #value(value: Value): void {
    const text = expression(value, {
      model: this.options.variant.model,
      holes: this.options.holes,
      tight: (v) => this.#tight(v),
      loose: (v) => this.#loose(v),
      axis: (name) => this.#axis(name),
    });
    const tokens = axisOfTokens(value);
    if (tokens !== null) {
      this.#note(value);
      const name = this.#names.fresh(this.#given(value) ?? "rows");
      const along = this.#axes.get(tokens) ?? this.#names.fresh(`${name}_axis`);
      this.#axes.set(tokens, along);
      this.#lines.push(`${name}, ${along} = ${text.text}`);
      this.#texts.set(value, { text: name, tight: true });
      return;
    }
    const made = axisMade(value);
    const given = this.#given(value);
    const longest = given === null ? LONGEST : LONGEST_NAMED;
    if (made.length === 0 && this.#uses.get(value) === 1 && text.text.length <= longest) {
      this.#texts.set(value, text);
      return;
    }
    this.#note(value);
    const name = this.#named(value, given ?? CALLED[value.op] ?? "h");
    this.#lines.push(`${name} = ${text.text}`);
    this.#texts.set(value, { text: name, tight: true });
    for (const axis of made) this.#axes.set(axis, `${name}.axis`);
  }

  /** The name that the source gives to a value itself, not to what it is the beginning of. */
  #given(value: Value): string | null {
    const user = this.#user.get(value);
    const begins = user?.span.file === value.span.file && user.span.start === value.span.start;
    return begins ? null : this.options.notes.nameOf(value);
  }

  /** A name of its own, or that of its only operand's, which nothing else reads. */
  #named(value: Value, wanted: string): string {
    const before = value.inputs.find((input) => this.#texts.get(input)?.text === wanted);
    return before && this.#uses.get(before) === 1 ? wanted : this.#names.fresh(wanted);
  }

  #call(child: Body): void {
    const text = `${this.#reach(child.path)}(${this.#arguments(child).join(", ")})`;
    const [out, ...others] = child.outs;
    const { losses } = this.options.needs(child.path);
    if (out && others.length === 0 && !losses && this.#uses.get(out) === 1 && text.length <= LONGEST) {
      this.#texts.set(out, { text, tight: true });
      return;
    }
    const local = this.#local(child.path);
    const wanted = this.options.notes.nameOfCall(this.options.block, local) ?? (/\d/.test(local) ? "x" : local);
    const names = child.outs.map(() => this.#names.fresh(wanted));
    const given = losses ? [...names, "more"] : names;
    this.#lines.push(given.length === 0 ? text : `${given.join(", ")} = ${text}`);
    if (losses) this.#lines.push(`losses.update(mt.below("${local}", more))`);
    child.outs.forEach((value, i) => this.#texts.set(value, { text: names[i]!, tight: true }));
  }

  #arguments(child: Body): readonly string[] {
    const { axes, run } = this.options.needs(child.path);
    return [
      ...child.ins.map((value) => this.#loose(value)),
      ...axes.map((axis) => this.#axis(axis)),
      ...(run ? ["run"] : []),
    ];
  }

  /** A list of blocks, each of which takes what the one before it gives: how many, or 0 if it is none. */
  #loop(at: number): number {
    const first = this.body.items[at]!.body!;
    const list = /^(.*)\.0$/.exec(first.path)?.[1];
    if (list === undefined || first.ins.length !== 1) return 0;
    const bodies: Body[] = [];
    for (const item of this.body.items.slice(at)) {
      const before = bodies.at(-1);
      if (!follows(item, `${list}.${bodies.length}`, before)) break;
      if (before && this.#uses.get(before.outs[0]!) !== 1) return 0;
      bodies.push(item.body!);
    }
    const size = this.options.variant.model.instances.filter(
      ({ path }) => path.startsWith(`${list}.`) && /^\d+$/.test(path.slice(list.length + 1)),
    ).length;
    if (bodies.length < 2 || bodies.length !== size) return 0;
    const start = this.#loose(first.ins[0]!);
    const more = this.#arguments(first).slice(1);
    const x = this.#names.fresh("x");
    if (x !== start) this.#lines.push(`${x} = ${start}`);
    const args = [x, ...more].join(", ");
    if (this.options.needs(first.path).losses)
      this.#lines.push(
        `for i, layer in enumerate(${this.#reach(list)}):`,
        `    ${x}, more = layer(${args})`,
        `    losses.update(mt.below(f"${this.#local(list)}.{i}", more))`,
      );
    else this.#lines.push(`for layer in ${this.#reach(list)}:`, `    ${x} = layer(${args})`);
    this.#texts.set(bodies.at(-1)!.outs[0]!, { text: x, tight: true });
    return bodies.length;
  }

  #local(path: string): string {
    return this.body.path === "" ? path : path.slice(this.body.path.length + 1);
  }

  #reach(path: string): string {
    return reached("self", this.#local(path));
  }

  #axis(name: string): string {
    return this.#axes.get(name) ?? refuse(`what is read of the sequence ${name}`, this.body.path);
  }

  #loose(value: Value): string {
    return this.#text(value).text;
  }

  #tight(value: Value): string {
    const { text, tight } = this.#text(value);
    return tight ? text : `(${text})`;
  }

  #text(value: Value): Text {
    const { path } = this.body;
    if (value.op === "number") {
      const { value: number } = (value as Value<"number">).attrs; // its operation says so
      const text = this.options.holes.add(pythonNumber(number), "value");
      return { text, tight: number >= 0 };
    }
    if (value.op === "live") {
      const { name } = (value as Value<"live">).attrs; // likewise
      return { text: `float(run.live["${name}"])`, tight: true };
    }
    if (value.op === "weight") {
      const { path: weight } = (value as Value<"weight">).attrs; // likewise
      if (path !== "" && !weight.startsWith(`${path}.`)) refuse(`the weight ${weight} of another block`, path);
      return { text: this.#reach(weight), tight: true };
    }
    return this.#texts.get(value) ?? refuse(`what ${value.op} gives, read from another block,`, path);
  }

  /** The line of the source that a statement comes from, once. */
  #note(value: Value): void {
    const line = this.options.notes.line(value.span);
    if (line !== this.#noted && line !== "") this.#lines.push(`# ${line}`);
    this.#noted = line;
  }
}

const typeOf = (value: Value): string => (axisMade(value).length > 0 ? "mt.Route" : "Tensor");

function follows(item: Item, path: string, before: Body | undefined): boolean {
  if (item.body?.path !== path || item.body.outs.length !== 1) return false;
  return before === undefined || (item.body.ins.length === 1 && item.body.ins[0] === before.outs[0]);
}

/** A number of an instance as the texts that a hole may have for it. */
export const numberTexts = (number: Parameters<typeof toNumber>[0]): readonly string[] => [
  pythonNumber(toNumber(number)),
  pythonFloat(toNumber(number)),
  number.den === 1n ? `${number.num}` : `Fraction(${number.num}, ${number.den})`,
];
