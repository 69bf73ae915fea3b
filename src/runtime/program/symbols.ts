// The symbols of a program's sizes: its axes and live parameters, which are read and checked first.
import { axisNamed, knownOnHost, type Axis } from "../../ground/size/axes.js";
import { fieldsOf, makeRule, ruleKinds, type CountRule } from "../../ground/size/count-rules.js";
import { parseAxis, parseSize } from "../../ground/size/parse-size.js";
import { parseRational } from "../../ground/numerics/rational.js";
import { atomsOf, type Size } from "../../ground/size/size.js";
import type { Program, ProgramAxis, ProgramPacking, SizeText } from "./program.js";
import { object, oneOf, orNull, placeIn, text as string, whole, type Read, type Reader } from "./reader.js";

/** More dimensions, parts or bindings than any program has. */
export const MOST_DIMENSIONS = 64;
const MOST_SIZE_CHARACTERS = 50_000;

export class Symbols {
  readonly axes: readonly ProgramAxis[];
  readonly live: Program["live"];
  /** The axes read so far. */
  readonly #axes: Axis[] = [];
  readonly #liveNames: ReadonlySet<string>;
  /** The fault of each size text read so far; null: none. */
  readonly #sizes = new Map<string, string | null>();

  constructor(live: Reader, axes: Reader) {
    this.live = live.list(object({ name: string, kind: oneOf(["ratio", "float"]), default: readRatio }));
    live.unique("name");
    this.#liveNames = new Set(this.live.map((l) => l.name));
    // In order: a rule may only mention earlier axes.
    this.axes = axes.list((r) => {
      const axis = this.#axis(r);
      if (this.#role(axis.name) !== undefined) r.get("name").fail(`is the second axis ${axis.name}`);
      this.#axes.push(parseAxis(axis));
      return axis;
    });
  }

  isLive(name: string): boolean {
    return this.#liveNames.has(name);
  }

  /** Whether only the device knows the counts of this sequence axis. */
  onDevice(axis: string): boolean {
    return !knownOnHost(this.#axes, axis);
  }

  /** How the tokens of a sequence axis are counted. */
  ruleOf(axis: string): CountRule | null {
    const axisFound = axisNamed(this.#axes, axis);
    return axisFound?.role === "sequence" ? axisFound.count : null;
  }

  #role(axis: string): Axis["role"] | undefined {
    return axisNamed(this.#axes, axis)?.role;
  }

  #axis(r: Reader): ProgramAxis {
    const role = oneOf(["batch", "free", "sequence"])(r.get("role"));
    const common = { name: string, bound: orNull(whole(1)) };
    return role === "sequence"
      ? object({ role: () => role, ...common, count: (count) => this.#count(count) })(r)
      : object({ role: () => role, ...common })(r);
  }
  #count(r: Reader): CountRule<SizeText, string> {
    const kind = oneOf(ruleKinds())(r.get("kind"));
    r.fields(["kind", ...fieldsOf(kind)]);
    const offset: Read<SizeText> = (at) => this.size(at, -Number.MAX_SAFE_INTEGER);
    return makeRule<SizeText, string>(kind, {
      axis: (field) => this.sequence(r.get(field)),
      axes: (field) => r.get(field).list((part) => this.sequence(part)),
      size: (field) => this.size(r.get(field)),
      place: (field) => offset(r.get(field)),
      end: (field) => orNull(offset)(r.get(field)),
      ratio: (field) => readRatio(r.get(field)),
    });
  }
  /** The name of a sequence axis read so far. */
  sequence(r: Reader): string {
    const name = r.string();
    return this.#role(name) === "sequence"
      ? name
      : r.fail(`${JSON.stringify(name)} is not a sequence axis that stands before`);
  }

  /** An integer of at least `least`, or the text of a size over declared symbols. */
  size(r: Reader, least = 0): SizeText {
    if (typeof r.value === "number") return r.integer(least);
    const text = r.string(MOST_SIZE_CHARACTERS);
    let fault = this.#sizes.get(text);
    if (fault === undefined) this.#sizes.set(text, (fault = this.#faultOf(text)));
    return fault === null ? text : r.fail(fault);
  }
  #faultOf(text: string): string | null {
    let size: Size;
    try {
      size = parseSize(text);
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof RangeError)
        return `is not a size: ${JSON.stringify(text.slice(0, 80))}`;
      throw error;
    }
    for (const atom of atomsOf(size)) {
      if (atom.kind === "live" ? !this.#liveNames.has(atom.name) : this.#role(atom.axis) === undefined)
        return `mentions ${JSON.stringify(atom.kind === "live" ? atom.name : atom.axis)}, which is not declared`;
      if (atom.kind === "rows" && this.#role(atom.axis) !== "sequence")
        return `counts rows of ${JSON.stringify(atom.axis)}, which is not a sequence axis`;
    }
    return null;
  }
  shape(r: Reader): readonly SizeText[] {
    return r.list((s) => this.size(s), MOST_DIMENSIONS);
  }
  packing(r: Reader, shape: readonly SizeText[]): ProgramPacking | null {
    const dim = placeIn(shape.length);
    return orNull(object({ axis: (axis) => this.sequence(axis), batchDim: dim, tokenDim: dim }))(r);
  }
}

function readRatio(r: Reader): string {
  const text = r.string();
  return parseRational(text) ? text : r.fail(`must be a ratio such as 1/8, found ${JSON.stringify(text.slice(0, 80))}`);
}
