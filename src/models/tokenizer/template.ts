// Runs a chat template with bounded work: templates are external code, so the cost of each operation is counted before
// it is done.
import * as jinja from "@huggingface/jinja";
import { type Budget, TemplateLimit } from "./template-budget.js";
import { globals } from "./template-globals.js";

/** A node of the syntax tree, by its fields. A computed value is wrapped in a node of type `Held`. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}
interface Value {
  readonly type: string;
  readonly value: unknown;
}
interface Scope {
  readonly parent?: Scope;
  readonly variables: ReadonlyMap<string, Value>;
  set(name: string, value: unknown): Value;
}
interface Engine {
  run(tree: Node): Value;
  evaluate(node: Node | undefined, scope: Scope): Value;
}

// Cast: the package's declarations refer to files that TypeScript does not find under Node's rules. These are the parts
// in use.
const { Environment, Interpreter, parse, tokenize } = jinja as unknown as {
  readonly Environment: new () => Scope;
  readonly Interpreter: new (scope: Scope) => Engine;
  readonly parse: (tokens: unknown) => Node;
  readonly tokenize: (
    text: string,
    options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean },
  ) => unknown;
};

/**
 * The limit on a template's length; the longest known one has 30 000 characters. The parser takes quadratic time for
 * long templates and long runs of blanks.
 */
const MAX_CHARACTERS = 200_000;
const LONG_BLANK = /\s{1000}/;

/** The limit on nested operations, including macros that call macros; fits the stack of every browser. */
const MAX_DEPTH = 300;
/** Costs of operations, in steps. */
const COST = {
  /** Per item of a loop. */
  item: 3,
  /** An operation that creates and catches an error: an unknown name, `break`, `continue`. */
  thrown: 10,
  /** Access to a string method: the interpreter creates all methods of the string each time. */
  method: 10,
  /**
   * Characters per step that are scanned, copied or compared (`scanned`), or that become separate strings (`split`).
   */
  scanned: 64,
  split: 8,
} as const;

/** A parsed template: runs with variables, within the budget. */
export type CompiledTemplate = (variables: Readonly<Record<string, unknown>>, budget: Budget) => unknown;

/** Parses a template. Throws what the parser throws, and TemplateLimit. */
export function parseTemplate(text: string): CompiledTemplate {
  if (text.length > MAX_CHARACTERS)
    throw new TemplateLimit(`it has ${text.length} characters, modc reads up to ${MAX_CHARACTERS}`);
  if (LONG_BLANK.test(text)) throw new TemplateLimit("it has more than 1000 blanks in a row");
  const tree = parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
  const printed = statementsOf(tree);
  return (variables, budget) => {
    const environment = new Environment();
    for (const [name, value] of [...Object.entries(globals(budget)), ...Object.entries(variables)])
      environment.set(name, value);
    return new MeteredInterpreter(environment, budget, printed).run(tree).value;
  };
}

/** The nodes whose values are printed: expression statements in a body. */
function statementsOf(tree: Node): WeakSet<object> {
  const printed = new WeakSet<object>();
  const open: unknown[] = [tree];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (typeof node !== "object" || node === null) continue;
    if (node instanceof Map) open.push(...node.keys(), ...node.values());
    for (const [field, value] of Object.entries(node)) {
      open.push(value);
      if (Array.isArray(value) && (field === "body" || field === "alternate" || field === "defaultBlock"))
        for (const statement of value as readonly object[]) printed.add(statement);
    }
  }
  return printed;
}

/** The size of a value when printed completely; shared parts count each time they occur. */
interface Extent {
  readonly values: number;
  readonly depth: number;
}

/** Filters of constant cost. */
const CONSTANT_COST: ReadonlySet<string> = new Set([
  "length",
  "first",
  "last",
  "default",
  "safe",
  "list",
  "int",
  "float",
  "abs",
  "bool",
]);
/** Filters that print their operand completely. */
const PRINTING: ReadonlySet<string> = new Set(["tojson", "string", "join", "unique", "sort", "dictsort"]);
/** Filters whose result may be as long as the product of the lengths of operand and arguments. */
const MULTIPLYING: ReadonlySet<string> = new Set(["replace", "join", "indent", "tojson"]);

const isText = (value: Value): value is Value & { readonly value: string } => value.type === "StringValue";
const isList = (value: Value): value is Value & { readonly value: readonly Value[] } =>
  value.type === "ArrayValue" || value.type === "TupleValue";
const literal = (value: Value): Node => ({ type: "Held", value });

/**
 * An interpreter that counts the cost of each operation before it is done: computes the operands first, and passes them
 * on as `Held` nodes.
 */
class MeteredInterpreter extends Interpreter {
  readonly #meteredMethods = new WeakSet<object>();
  #depth = 0;

  constructor(
    environment: Scope,
    readonly budget: Budget,
    readonly printed: WeakSet<object>,
  ) {
    super(environment);
  }

  override evaluate(node: Node | undefined, environment: Scope): Value {
    if (node === undefined) return super.evaluate(node, environment);
    if (node.type === "Held") return node["value"] as Value; // `held` put a Value there
    this.budget.spend(1);
    if (this.#depth >= MAX_DEPTH) throw new TemplateLimit("it nests or recurses too deeply");
    const depth = this.#depth++;
    let value: Value;
    try {
      value = this.#evaluateMetered(node, environment);
    } finally {
      this.#depth = depth;
    }
    if (isText(value)) this.budget.expectText(value.value.length);
    else if (this.printed.has(node)) this.#measure(value);
    return value;
  }

  #evaluateMetered(node: Node, environment: Scope): Value {
    const of = (field: string): Value => this.evaluate(node[field] as Node, environment);
    const done = (changed: Readonly<Record<string, unknown>>): Value =>
      super.evaluate({ ...node, ...changed }, environment);
    switch (node.type) {
      case "Identifier":
        this.#expectFound(String(node["value"]), environment);
        return done({});
      case "Break":
      case "Continue":
        this.budget.spend(COST.thrown);
        return done({});
      case "BinaryExpression": {
        const operator = (node["operator"] as { readonly value: string }).value;
        if (operator === "and" || operator === "or") return done({});
        const [left, right] = [of("left"), of("right")];
        this.#operate(operator, left, right);
        return done({ left: literal(left), right: literal(right) });
      }
      case "FilterExpression":
        return this.#filter(node["filter"] as Node, of("operand"), environment);
      case "FilterStatement":
        return this.#filter(
          node["filter"] as Node,
          this.evaluate({ ...node, type: "Program" }, environment),
          environment,
        );
      case "TestExpression": {
        const operand = of("operand");
        this.#chargeScan(operand);
        return done({ operand: literal(operand) });
      }
      case "CallExpression":
        return done({ args: this.#evaluateArguments(node["args"] as readonly Node[], environment).nodes });
      case "CallStatement": {
        const call = node["call"] as Node;
        return done({
          call: { ...call, args: this.#evaluateArguments(call["args"] as readonly Node[], environment).nodes },
        });
      }
      case "MemberExpression":
        return this.#member(node, of("object"), environment);
      case "ObjectLiteral":
        for (const key of (node["value"] as ReadonlyMap<Node, unknown>).keys())
          this.#chargeScan(this.evaluate(key, environment));
        return done({});
      case "For": {
        const iterable = node["iterable"] as Node;
        const chosen = iterable.type === "SelectExpression";
        const over = this.evaluate(chosen ? (iterable["lhs"] as Node) : iterable, environment);
        this.budget.spend(COST.item * lengthOf(over));
        return done({ iterable: chosen ? { ...iterable, lhs: literal(over) } : literal(over) });
      }
      default:
        return done({});
    }
  }

  /** Charges the lookup of a name, by the number of enclosing scopes. */
  #expectFound(name: string, environment: Scope): void {
    let out = 0;
    for (let scope: Scope | undefined = environment; scope !== undefined; scope = scope.parent, out++)
      if (scope.variables.has(name)) return this.budget.spend(out / 8);
    this.budget.spend(COST.thrown + out / 8);
  }

  #operate(operator: string, left: Value, right: Value): void {
    const [list, other] = isList(left) ? [left, right] : [right, left];
    if (operator === "in" || operator === "not in") {
      if (isList(right))
        this.budget.spend((right.value.length * (4 + (isText(left) ? left.value.length : 0))) / COST.scanned);
      else this.#chargeScan(right);
    } else if (isList(list)) {
      if (isList(other)) this.budget.spend((list.value.length + other.value.length) / 16);
      // Added to a value that is not a list, it is converted to text.
      else this.#measure(list);
    } else if (operator === "==" || operator === "!=")
      this.budget.spend(Math.min(lengthOf(left), lengthOf(right)) / COST.scanned);
  }

  #filter(filter: Node, operand: Value, environment: Scope): Value {
    const called = filter.type === "CallExpression";
    const name = String(called ? (filter["callee"] as Node)["value"] : filter["value"]);
    const extent = PRINTING.has(name) ? this.#measure(operand) : { values: lengthOf(operand), depth: 0 };
    if (!CONSTANT_COST.has(name)) this.#chargeScan(operand);
    if (name === "sort" || name === "dictsort") this.budget.spend(extent.values * Math.log2(2 + extent.values));
    if (name === "join" && isText(operand)) this.budget.spend(operand.value.length / COST.split);
    let callFilter = filter;
    if (called) {
      const { nodes, largest } = this.#evaluateArguments(filter["args"] as readonly Node[], environment);
      if (MULTIPLYING.has(name)) this.#expectProduct(extent.values + 1, (extent.depth + 1) * largest);
      callFilter = { ...filter, args: nodes };
    }
    return super.evaluate({ type: "FilterExpression", operand: literal(operand), filter: callFilter }, environment);
  }

  #member(node: Node, object: Value, environment: Scope): Value {
    const property = node["property"] as Node;
    const isComputed = node["computed"] === true;
    if (isComputed && property.type === "SliceExpression")
      this.budget.spend(isText(object) ? object.value.length / COST.split : lengthOf(object) / 16);
    else if (isComputed && isText(object)) this.#chargeScan(object);
    const key = isComputed && property.type !== "SliceExpression" ? this.evaluate(property, environment) : null;
    if (key !== null) this.#chargeScan(key);
    const changed = { ...node, object: literal(object), property: key === null ? property : literal(key) };
    const value = super.evaluate(changed, environment);
    if (value.type === "FunctionValue" && isText(object))
      this.#meterMethod(object.value, String(key === null ? property["value"] : key.value), value);
    return value;
  }

  /** Wraps a string method. The wrapper charges for the arguments, then calls the method. */
  #meterMethod(text: string, name: string, method: Value): void {
    this.budget.spend(COST.method);
    if (this.#meteredMethods.has(method)) return;
    this.#meteredMethods.add(method);
    const functionValue = method as { value: (args: Value[], scope: Scope) => Value }; // the shape of a FunctionValue
    const { value } = functionValue;
    functionValue.value = (args, scope) => {
      this.budget.spend(text.length / COST.scanned);
      const texts = args.filter(isText).map((arg) => arg.value);
      if (name === "replace")
        this.#expectProduct(text.length + 1, Math.max(0, ...texts.map((part) => part.length)), texts[0]);
      if (name === "split") this.budget.spend(texts[0] ? countOf(text, texts[0]) : text.length / COST.split);
      return value(args, scope);
    };
  }

  /**
   * Checks the limit on text for `pieces` pieces of `longest` characters each. If each piece replaces an occurrence of
   * `found`, there are at most as many as fit in the text.
   */
  #expectProduct(pieces: number, longest: number, found = ""): void {
    const most = pieces / Math.max(1, found.length);
    this.budget.expectText(most * longest);
    this.budget.spend((most * longest) / COST.scanned + most / 16);
  }

  /** Evaluates arguments in the interpreter's order; `largest`: the longest text or the largest number among them. */
  #evaluateArguments(
    args: readonly Node[],
    environment: Scope,
  ): { readonly nodes: readonly Node[]; readonly largest: number } {
    let largest = 0;
    const value = (node: unknown): Node => {
      const argument = node as Node;
      // Some filters inspect the literal node of an argument: keep string literals unchanged.
      const result = this.evaluate(argument, environment);
      this.#chargeScan(result);
      const parts = isList(result) ? result.value.slice(0, 2) : [result];
      for (const part of parts)
        largest = Math.max(largest, isText(part) ? part.value.length : typeof part.value === "number" ? part.value : 0);
      return argument.type === "StringLiteral" ? argument : literal(result);
    };
    const nodes = [...args];
    const each = (positional: boolean): void =>
      args.forEach((arg, i) => {
        const named = arg.type === "KeywordArgumentExpression" || arg.type === "KeywordSpreadExpression";
        if (named === positional) return;
        if (arg.type === "KeywordArgumentExpression") nodes[i] = { ...arg, value: value(arg["value"]) };
        else if (arg.type === "KeywordSpreadExpression" || arg.type === "SpreadExpression")
          nodes[i] = { ...arg, argument: value(arg["argument"]) };
        else nodes[i] = value(arg);
      });
    each(true);
    each(false);
    return { nodes, largest };
  }

  #chargeScan(value: Value): void {
    this.budget.spend(lengthOf(value) / (isText(value) ? COST.scanned : 16));
  }

  /** Measures a value as if printed completely. A namespace may contain itself: the budget then ends the walk. */
  #measure(value: Value): Extent {
    let [values, deepest, characters] = [0, 0, 0];
    const open: (readonly [Value, number])[] = [[value, 0]];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const [part, depth] = next;
      this.budget.spend(0.25 + (isText(part) ? part.value.length / COST.scanned : 0));
      values++;
      deepest = Math.max(deepest, depth);
      if (isText(part)) this.budget.expectText((characters += part.value.length));
      else if (isList(part)) for (const inner of part.value) open.push([inner, depth + 1]);
      else if (part.value instanceof Map)
        for (const [key, inner] of part.value as ReadonlyMap<string, Value>) {
          this.budget.spend(key.length / COST.scanned);
          open.push([inner, depth + 1]);
        }
    }
    return { values, depth: deepest };
  }
}

/** The number of characters or entries; 0 for any other value. */
function lengthOf({ value }: Value): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

function countOf(text: string, part: string): number {
  let count = 1;
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) count++;
  return count;
}
