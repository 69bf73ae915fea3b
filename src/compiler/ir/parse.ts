// Parses IR text into a graph: the inverse of `printGraph`, for tests, tools and hand-written graphs.
import type { Axis } from "../../ground/size/axes.js";
import { fieldsOf, makeRule, ruleKinds, type CountRule } from "../../ground/size/count-rules.js";
import { parseSize } from "../../ground/size/parse-size.js";
import { parseRational, type Rational } from "../../ground/numerics/rational.js";
import { isDType } from "../../ground/base/dtype.js";
import type { Size } from "../../ground/size/size.js";
import { isOpName, parseAttrs } from "./attrs.js";
import type { Graph, GraphInput, GraphOutput, Node, Origin, Packing, State } from "./graph.js";
import { isOp } from "./graph.js";
import type { TensorType } from "./types.js";
import {
  equalTypes,
  inferContext,
  inferTypes,
  printType,
  TypeMismatch,
  type InferContext,
  type Typing,
} from "./typing.js";

/** Thrown for a faulty line of IR text; `line` counts from 1. */
export class IrSyntaxError extends SyntaxError {
  override readonly name = "IrSyntaxError";
  constructor(
    what: string,
    readonly line: number,
  ) {
    super(`line ${line}: ${what}`);
  }
}

interface Draft {
  name: string | null;
  readonly axes: Axis[];
  readonly live: { name: string; kind: "ratio" | "float"; default: Rational }[];
  readonly inputs: {
    name: string;
    id: string;
    shape: readonly Size[];
    packing: Packing | null;
    least: number;
    below: number | null;
    line: number;
  }[];
  readonly outputs: GraphOutput[];
  readonly states: State[];
  readonly starts: Map<string, Node>;
  readonly nodes: Map<string, Node>;
  context: InferContext | null;
}

/**
 * Parses IR text and infers the type of every node from the operator table. Types in the text are optional, but must
 * equal the inferred types. Blank lines and lines that begin with `//` are ignored. Throws IrSyntaxError.
 */
export function parseGraph(text: string, typing: Typing): Graph {
  const into: Draft = {
    name: null,
    axes: [],
    live: [],
    inputs: [],
    outputs: [],
    states: [],
    starts: new Map(),
    nodes: new Map(),
    context: null,
  };
  text.split(/\r?\n/).forEach((raw, i) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("//")) return;
    try {
      parseLine(line, into, typing, i + 1);
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeMismatch)
        throw error instanceof IrSyntaxError ? error : new IrSyntaxError(error.message, i + 1);
      throw error;
    }
  });
  if (into.name === null) throw new IrSyntaxError('a graph begins with its name: graph "…"', 1);
  return {
    name: into.name,
    axes: into.axes,
    live: into.live,
    inputs: into.inputs.map((i) => finishInput(i, into)),
    outputs: into.outputs,
    states: into.states,
    starts: into.starts,
  };
}

function parseLine(line: string, into: Draft, typing: Typing, number: number): void {
  if (line.startsWith("%")) return parseNode(line, into, typing);
  const word = /^[a-z]+/.exec(line)?.[0] ?? "";
  const rest = line.slice(word.length).trim();
  switch (word) {
    case "graph":
      into.name = parseString(rest);
      return;
    case "axis":
      into.axes.push(parseAxis(rest));
      into.context = null;
      return;
    case "live":
      into.live.push(parseLive(rest));
      return;
    case "input":
      into.inputs.push({ ...parseInput(rest), line: number });
      return;
    case "state":
      into.states.push(parseState(rest, into));
      return;
    case "starts": {
      const [, axis, id] = match(/^(\S+) = (%\d+)$/, rest, "starts T = %1");
      into.starts.set(axis!, lookUp(id!, into));
      return;
    }
    case "result":
    case "loss":
    case "observe":
    case "update":
      into.outputs.push(parseOutput(word, rest, into));
      return;
    default:
      fail(
        "expected graph, axis, live, input, %node, state, starts, result, loss, observe or update, found " +
          JSON.stringify(line.slice(0, 40)),
      );
  }
}

const fail = (what: string): never => {
  throw new SyntaxError(what);
};

function match(pattern: RegExp, text: string, example: string): RegExpExecArray {
  return pattern.exec(text) ?? fail(`expected the form ${example}, found ${JSON.stringify(text.slice(0, 80))}`);
}

function parseString(text: string): string {
  const value: unknown = JSON.parse(text);
  return typeof value === "string" ? value : fail(`expected a quoted name, found ${text}`);
}

/** Splits a text into its leading quoted name and the rest. */
function quoted(text: string): readonly [string, string] {
  const [literal] = match(/^"(?:[^"\\]|\\.)*"/, text, '"name"');
  return [parseString(literal), text.slice(literal.length).trim()];
}

function parseAxis(text: string): Axis {
  const [, name, role, boundText, rest] = match(
    /^(\S+) = (batch|free|sequence)(?: <= (\d+))?(?: (.*))?$/,
    text,
    "T = sequence <= 64 input",
  );
  const bound = boundText === undefined ? null : Number(boundText);
  if (role === "sequence") return { role, name: name!, bound, count: parseRule(rest ?? "") };
  if (rest !== undefined) fail(`a ${role} axis has no count rule, found ${rest}`);
  return { role: role as "batch" | "free", name: name!, bound }; // by the pattern
}

function parseRule(text: string): CountRule {
  const [head, ...parts] = text.split("; ");
  const [kind, of, first] = head!.split(" ");
  const value = (name: string): string => {
    const part =
      parts.find((p) => p.startsWith(`${name} = `)) ??
      fail(`the rule ${kind} states ${name}, found ${JSON.stringify(text)}`);
    return part.slice(name.length + 3);
  };
  const known = ruleKinds().find((name) => name === kind);
  const bare = known !== undefined && fieldsOf(known).length === 0;
  if (known === undefined || (bare ? of !== undefined : of !== "of" || first === undefined))
    return fail(`expected a count rule such as top of T; k = 2, found ${JSON.stringify(text)}`);
  return makeRule(known, {
    axis: () => first!,
    axes: () => [first!, ...parts],
    size: (name) => parseSize(value(name)),
    place: (name) => parseSize(value(name)),
    end: (name) => (value(name) === "end" ? null : parseSize(value(name))),
    ratio: (name) => parseNumber(value(name)),
  });
}

const parseNumber = (text: string): Rational =>
  parseRational(text) ?? fail(`expected a whole number or a fraction, found ${text}`);

function parseLive(text: string): Draft["live"][number] {
  const [name, rest] = quoted(text);
  const [, kind, value] = match(/^(ratio|float) = (\S+)$/, rest, '"capacity" ratio = 1/8');
  return { name, kind: kind as "ratio" | "float", default: parseNumber(value!) }; // by the pattern
}

const VALUE = /^= (%\d+) (\[[^\]]*\])(?: packed (\S+) (\d+) (\d+))?(?:(?: from (-\d+))? below (\d+))?$/;

function parseValue(text: string) {
  const [, id, shape, axis, batchDim, tokenDim, least, below] = match(VALUE, text, "= %1 [B, T] packed T 0 1");
  const packing: Packing | null =
    axis === undefined ? null : { axis, batchDim: Number(batchDim), tokenDim: Number(tokenDim) };
  return {
    id: id!,
    shape: parseShape(shape!),
    packing,
    least: Number(least ?? 0),
    below: below === undefined ? null : Number(below),
  };
}

function parseInput(text: string): Omit<Draft["inputs"][number], "line"> {
  const [name, rest] = quoted(text);
  return { name, ...parseValue(rest) };
}

function finishInput(
  { name, id, shape, packing, least, below, line }: Draft["inputs"][number],
  into: Draft,
): GraphInput {
  const node = into.nodes.get(id);
  if (node === undefined || !isOp(node, "input")) throw new IrSyntaxError(`${id} is no input node`, line);
  return { name, node, shape, packing, least, below };
}

function parseOutput(role: GraphOutput["role"], text: string, into: Draft): GraphOutput {
  const [name, rest] = quoted(text);
  const { id, shape, packing, below } = parseValue(rest);
  if (below !== null) fail("only inputs are below a number");
  return { name, role, node: lookUp(id, into), shape, packing };
}

function parseState(text: string, into: Draft): State {
  const [name, rest] = quoted(text);
  const [, type, zeros, value, path, next] = match(
    /^(\S+\[[^\]]*\]) = (?:(zeros)|filled (\S+)|weight (".*")) next (%\d+)$/,
    rest,
    '"m" f32[3] = zeros next %4',
  );
  const [parsedType] = parseTypes(type!);
  const init: State["init"] =
    zeros !== undefined
      ? { kind: "zeros" }
      : value !== undefined
        ? { kind: "filled", value: Number(value) }
        : { kind: "weight", path: parseString(path!) };
  return { name, type: parsedType!, init, next: lookUp(next!, into) };
}

const lookUp = (id: string, into: Draft): Node => into.nodes.get(id) ?? fail(`${id} is not defined above`);

/** `%5 = top {"axis":"K"}(%4, %1, %1) : u32[rows(K)] u32[B + 1] u32[rows(K)]  // layers.1 moby.mod@120-135` */
function parseNode(line: string, into: Draft, typing: Typing): void {
  const [head, id, op] = match(/^(%\d+) = ([a-z_0-9]+)\s*/, line, "%3 = add(%1, %2) : f32[3]");
  if (!isOpName(op!)) return fail(`there is no operator ${op}`);
  if (into.nodes.has(id!)) fail(`${id} is defined twice`);
  const json = jsonAt(line, head.length);
  const [, inputs, types, comment] = match(
    /^\s*\(([^)]*)\)(?: : ((?:[a-z0-9]+\[[^\]]*\]\s*)+))?(?:\s*\/\/ ?(.*))?$/,
    line.slice(head.length + json.length),
    "(%1, %2) : f32[3]",
  );
  const nodes = inputs!.trim() === "" ? [] : inputs!.split(",").map((i) => lookUp(i.trim(), into));
  const attrs = parseAttrs(op, json);
  into.context ??= inferContext(into.axes);
  const inferred = inferNode(typing, op, nodes, attrs, into.context);
  if (types !== undefined) expectTypes(parseTypes(types), inferred);
  into.nodes.set(id!, { op, inputs: nodes, attrs, types: inferred, origin: parseOrigin(comment) });
}

function inferNode(
  typing: Typing,
  op: Node["op"],
  inputs: readonly Node[],
  attrs: Node["attrs"],
  context: InferContext,
): readonly TensorType[] {
  try {
    return inferTypes(typing, op, inputs, attrs, context);
  } catch (error) {
    if (error instanceof TypeMismatch) throw new TypeMismatch(`${op}: ${error.message}`);
    throw error;
  }
}

function expectTypes(stated: readonly TensorType[], inferred: readonly TensorType[]): void {
  if (stated.length !== inferred.length || stated.some((t, i) => !equalTypes(t, inferred[i]!)))
    fail(`stated type ${stated.map(printType).join(" ")}, inferred ${inferred.map(printType).join(" ")}`);
}

/** The JSON object at an offset; empty if there is none. */
function jsonAt(line: string, from: number): string {
  if (line[from] !== "{") return "";
  let depth = 0;
  for (let i = from; i < line.length; i++) {
    const c = line[i];
    if (c === '"') {
      for (i++; i < line.length && line[i] !== '"'; i++) if (line[i] === "\\") i++;
    } else if (c === "{") depth++;
    else if (c === "}" && --depth === 0) return line.slice(from, i + 1);
  }
  return fail("the attributes do not end");
}

function parseTypes(text: string): readonly TensorType[] {
  return [...text.matchAll(/([a-z0-9]+)(\[[^\]]*\])/g)].map(([, dtype, shape]) => ({
    dtype: isDType(dtype) ? dtype : fail(`there is no dtype ${dtype}`),
    shape: parseShape(shape!),
  }));
}

/** Parses `[B, min(3, T), 2]`: commas within parentheses belong to a size. */
function parseShape(text: string): readonly Size[] {
  const inner = text.slice(1, -1).trim();
  if (inner === "") return [];
  const parts: string[] = [""];
  let depth = 0;
  for (const c of inner) {
    if (c === "(") depth++;
    if (c === ")") depth--;
    if (c === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += c;
  }
  return parts.map((p) => parseSize(p.trim()));
}

/** Parses an origin with a span in offsets; ignores any other comment. */
function parseOrigin(comment: string | undefined): Origin | null {
  const origin = comment === undefined ? null : /^(\S+) (.+)@(\d+)-(\d+)$/.exec(comment);
  if (!origin) return null;
  const [, path, file, start, end] = origin;
  return { path: path === "." ? "" : path!, span: { file: file!, start: Number(start), end: Number(end) } };
}
