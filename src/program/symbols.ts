// What the sizes of a program may mention: its axes and live parameters, read and checked first.
import { parseSize } from "../size/parse-size.js";
import { parseRational } from "../size/rational.js";
import { atomsOf, type Size } from "../size/size.js";
import type { Program, ProgramAxis, ProgramCount, ProgramPacking, SizeText } from "./program.js";
import type { Reader } from "./reader.js";

/** More dimensions, parts or bindings than any program has. */
export const MOST_DIMENSIONS = 64;
const MOST_SIZE_CHARACTERS = 50_000;

export class Symbols {
  readonly axes: readonly ProgramAxis[];
  readonly live: Program["live"];
  readonly #axisNames = new Set<string>();
  readonly #sequenceAxes = new Set<string>();
  /** Sequence axes behind `above`. */
  readonly #onDevice = new Set<string>();
  readonly #liveNames: ReadonlySet<string>;
  /** What is wrong with each text met so far; null for nothing. */
  readonly #sizes = new Map<string, string | null>();

  constructor(live: Reader, axes: Reader) {
    this.live = live.list((r) => {
      r.fields(["name", "kind", "default"]);
      return {
        name: r.get("name").string(),
        kind: r.get("kind").oneOf(["ratio", "float"]),
        default: this.#ratio(r.get("default")),
      };
    });
    live.unique("name");
    this.#liveNames = new Set(this.live.map((l) => l.name));
    // One after the other: a rule may only mention axes before its own.
    this.axes = axes.list((r) => {
      const axis = this.#axis(r);
      if (this.#axisNames.has(axis.name)) r.get("name").fail(`is the second axis ${axis.name}`);
      this.#axisNames.add(axis.name);
      if (axis.role === "sequence") {
        this.#sequenceAxes.add(axis.name);
        if (this.#madeOnDevice(axis.count)) this.#onDevice.add(axis.name);
      }
      return axis;
    });
  }

  isLive(name: string): boolean {
    return this.#liveNames.has(name);
  }

  /** Whether only the device counts the rows of this sequence axis (`knownOnHost` in `size/axes.ts`). */
  onDevice(axis: string): boolean {
    return this.#onDevice.has(axis);
  }
  #madeOnDevice(rule: ProgramCount): boolean {
    switch (rule.kind) {
      case "input":
        return false;
      case "above":
        return true;
      case "top":
        return (
          this.#onDevice.has(rule.parent) || (typeof rule.k === "string" && this.#mentionsDevice(parseSize(rule.k)))
        );
      case "span":
        return this.#onDevice.has(rule.parent);
      case "join":
        return rule.parts.some((p) => this.#onDevice.has(p));
      default:
        return rule satisfies never;
    }
  }
  #mentionsDevice(size: Size): boolean {
    return [...atomsOf(size)].some((a) => a.kind === "axis" && this.#onDevice.has(a.axis));
  }

  #axis(r: Reader): ProgramAxis {
    const role = r.get("role").oneOf(["batch", "free", "sequence"]);
    r.fields(role === "sequence" ? ["role", "name", "bound", "count"] : ["role", "name", "bound"]);
    const name = r.get("name").string();
    const bound = r.get("bound").orNull((b) => b.integer(1));
    if (role !== "sequence") return { role, name, bound };
    return { role, name, bound, count: this.#count(r.get("count")) };
  }
  #count(r: Reader): ProgramCount {
    const kind = r.get("kind").oneOf(["input", "top", "above", "span", "join"]);
    switch (kind) {
      case "input":
        r.fields(["kind"]);
        return { kind };
      case "top":
        r.fields(["kind", "parent", "k"]);
        return { kind, parent: this.sequence(r.get("parent")), k: this.size(r.get("k")) };
      case "above":
        r.fields(["kind", "parent", "expected"]);
        return { kind, parent: this.sequence(r.get("parent")), expected: this.#ratio(r.get("expected")) };
      case "span":
        r.fields(["kind", "parent", "start", "stop"]);
        return {
          kind,
          parent: this.sequence(r.get("parent")),
          start: this.size(r.get("start"), -Number.MAX_SAFE_INTEGER),
          stop: r.get("stop").orNull((s) => this.size(s, -Number.MAX_SAFE_INTEGER)),
        };
      case "join":
        r.fields(["kind", "parts"]);
        return { kind, parts: r.get("parts").list((p) => this.sequence(p)) };
      default:
        return kind satisfies never;
    }
  }
  /** The name of a sequence axis read so far. */
  sequence(r: Reader): string {
    const name = r.string();
    return this.#sequenceAxes.has(name)
      ? name
      : r.fail(`${JSON.stringify(name)} is no sequence axis that stands before`);
  }

  /** A whole number from `least`, or the text of a size over what is declared. */
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
      if (atom.kind === "live" ? !this.#liveNames.has(atom.name) : !this.#axisNames.has(atom.axis))
        return `mentions ${JSON.stringify(atom.kind === "live" ? atom.name : atom.axis)}, which is not declared`;
      if (atom.kind === "rows" && !this.#sequenceAxes.has(atom.axis))
        return `counts rows of ${JSON.stringify(atom.axis)}, which is no sequence axis`;
    }
    return null;
  }
  #ratio(r: Reader): string {
    const text = r.string();
    return parseRational(text)
      ? text
      : r.fail(`must be a ratio such as 1/8, found ${JSON.stringify(text.slice(0, 80))}`);
  }
  shape(r: Reader): readonly SizeText[] {
    return r.list((s) => this.size(s), MOST_DIMENSIONS);
  }
  packing(r: Reader, shape: readonly SizeText[]): ProgramPacking | null {
    return r.orNull((p) => {
      p.fields(["axis", "batchDim", "tokenDim"]);
      return {
        axis: this.sequence(p.get("axis")),
        batchDim: p.get("batchDim").index(shape.length),
        tokenDim: p.get("tokenDim").index(shape.length),
      };
    });
  }
}
