// Maps model names to Python names: names reserved by Python or nn.Module get an underscore.

const KEYWORDS =
  "False None True and as assert async await break class continue def del elif else except finally for from global " +
  "if import in is lambda nonlocal not or pass raise return try while with yield match case type";
/** Attributes of nn.Module that a submodule or weight with the same name would shadow. */
const OF_MODULE =
  "add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr " +
  "float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia " +
  "named_buffers named_children named_modules named_parameters parameters register_buffer register_module " +
  "register_parameter requires_grad_ reset_parameters self set_extra_state set_submodule share_memory state_dict to " +
  "to_empty train training xpu zero_grad path args init_weights step live update_states moved_states tallies stage " +
  "stage_forward";
/** Names that the generated file uses: imports, parameters, and Python builtins. */
const OF_FILE =
  "torch F nn mt math dataclass axis run Fraction Path Tensor load read_weights layer losses more i enumerate n self " +
  "list dict range super causal observed caches lengths live float int str hasattr ValueError";

const keywords = new Set(KEYWORDS.split(" "));
const taken = new Set([...keywords, ...OF_FILE.split(" ")]);
const attributes = new Set([...keywords, ...OF_MODULE.split(" ")]);

/** Names that end in underscores count too and get one more, so that two names never collide. */
const isAmong = (names: ReadonlySet<string>, name: string): boolean =>
  names.has(name) || (name.endsWith("_") && isAmong(names, name.slice(0, -1)));

/** The Python name of a variable, parameter or class. */
export const variable = (name: string): string => (isAmong(taken, name) ? `${name}_` : name);

/** The Python name of a weight or submodule. */
export const attribute = (name: string): string => (isAmong(attributes, name) ? `${name}_` : name);

/** A parameter's dotted path in the module: `layers.0.lambda_`. */
export const attributePath = (path: string): string => path.split(".").map(attribute).join(".");

/** An expression that reaches a path from a module: `self.layers[0].inner`. */
export const reached = (from: string, path: string): string =>
  path.split(".").reduce((at, name) => (/^\d+$/.test(name) ? `${at}[${name}]` : `${at}.${attribute(name)}`), from);

const NONE: ReadonlySet<string> = new Set();

/** Hands out distinct names: `score`, `score2`. */
export class Names {
  readonly #used = new Set<string>();

  /** Whether the name is taken. */
  has(name: string): boolean {
    return this.#used.has(name);
  }

  /** Takes a free name. */
  take(name: string): string {
    this.#used.add(name);
    return name;
  }

  /** Takes the first free name; if all are taken, numbers the first. */
  freshOf(wanted: readonly string[]): string {
    return this.fresh(wanted.find((name) => !this.#used.has(variable(name))) ?? wanted[0]!);
  }

  /** Takes the wanted name, numbered if taken. `others` are names reserved for later use. */
  fresh(wanted: string, between = /\d$/.test(wanted) ? "_" : "", others: ReadonlySet<string> = NONE): string {
    let name = wanted === "axis" ? wanted : variable(wanted);
    for (let n = 2; this.#used.has(name) || others.has(name); n++) name = `${wanted}${between}${n}`;
    this.#used.add(name);
    return name;
  }
}
