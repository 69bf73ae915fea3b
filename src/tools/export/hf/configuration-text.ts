// The text of `configuration_*.py`, and of `config.json`.
import type { LiveParameter } from "../../../language/check/model/model.js";
import type { Argument } from "../root-text.js";
import { laidOut } from "../layout.js";
import { docstring, indented } from "../module-text.js";
import type { ConfigNames, Fact, FolderNames } from "./names.js";

export interface Configuration {
  readonly names: FolderNames;
  /** The model's name, and its source file. */
  readonly model: string;
  readonly file: string;
  readonly arguments: readonly Argument[];
  readonly live: readonly LiveParameter[];
  readonly facts: readonly Fact[];
  /** The configuration's names for arguments and live parameters. */
  readonly called: ConfigNames;
}

/** The tokenizer's special tokens for beginning, end and padding. */
export interface SpecialTokens {
  readonly bos: number | null;
  readonly eos: readonly number[];
  readonly pad: number | null;
}

interface Field {
  readonly name: string;
  readonly type: string;
  readonly value: number | string;
  /** The value as Python text. */
  readonly text: string;
  readonly note: string;
}

const isShare = ({ value }: Argument): boolean => value.startsWith("Fraction");

/** A share in JSON and Python syntax: a decimal if exact, else a fraction as text. */
export function shareOf(num: bigint, den: bigint): number | string {
  const value = Number(num) / Number(den);
  const [, digits = "", exponent = "0"] = /^-?\d+(?:\.(\d+))?(?:e(.*))?$/.exec(String(value)) ?? [];
  const decimals = digits.length - Number(exponent);
  const shown = BigInt(Math.round(value * 10 ** decimals));
  return decimals <= 15 && shown * den === num * 10n ** BigInt(Math.max(decimals, 0)) ? value : `${num}/${den}`;
}

function fieldsOf({ arguments: all, live, called }: Configuration): readonly Field[] {
  const share = (name: string, value: number | string, note: string): Field => ({
    name,
    type: "float | str",
    value,
    text: JSON.stringify(value),
    note,
  });
  const fields = all.map(({ name, value, note }): Field => {
    const [, num, den] = /^Fraction\((-?\d+), (\d+)\)$/.exec(value) ?? [];
    if (num !== undefined) return share(called.argument(name), shareOf(BigInt(num), BigInt(den!)), note ?? "");
    const type = /^-?\d+$/.test(value) ? "int" : "float";
    return { name: called.argument(name), type, value: Number(value), text: value, note: note ?? "" };
  });
  return [
    ...fields,
    ...live.map(({ name, default: { num, den } }) =>
      share(called.live(name), shareOf(num, den), "live: it may be set between calls"),
    ),
  ];
}

/** Configuration fields in addition to the model's arguments. */
const OWN = [
  ["causal", "in eval() each choice of tokens is made from the token alone, as generation does"],
  ["use_cache", "calls by the causal rule give a cache"],
] as const;

export function configurationText(configuration: Configuration): string {
  const { names, model, file, facts, called } = configuration;
  const fields = fieldsOf(configuration);
  const mapped = facts.flatMap(({ name, argument }) => {
    const attribute = argument === null ? name : called.argument(argument);
    return attribute === name ? [] : [`"${name}": "${attribute}"`];
  });
  const fixed = facts.filter(({ argument }) => argument === null);
  const lines = [
    ...docstring(`The configuration of ${model}, written by \`modc export --to hf\` from ${file}.`),
    "",
    "from transformers import PretrainedConfig",
    "",
    "",
    `class ${names.config}(PretrainedConfig):`,
    ...indented([
      ...docstring(
        `What ${model} is made with.\n\n` +
          OWN.map(([name, what]) => `- ${name}: ${what}.`).join("\n") +
          (fields.some(({ type }) => type !== "int" && type !== "float")
            ? '\n- Shares are numbers, or fractions as text: 0.125, "1/3".'
            : ""),
      ),
      "",
      `model_type = "${names.modelType}"`,
      'keys_to_ignore_at_inference = ["past_key_values", "losses"]',
      ...(mapped.length === 0 ? [] : [`attribute_map = {${mapped.join(", ")}}`]),
      ...fixed.map(({ name, value }) => `${name} = ${value}`),
      "",
      "def __init__(",
      ...indented([
        "self,",
        ...fields.map(({ name, type, text, note }) => `${name}: ${type} = ${text},${note === "" ? "" : `  # ${note}`}`),
        ...OWN.map(([name]) => `${name}: bool = True,`),
        "**kwargs,",
      ]),
      ") -> None:",
      ...indented([
        ...fields.map(({ name }) => `self.${name} = ${name}`),
        ...OWN.map(([name]) => `self.${name} = ${name}`),
        "super().__init__(**kwargs)",
      ]),
    ]),
    "",
    "",
    `${names.config}.register_for_auto_class()  # its code is saved with it`,
    "",
  ];
  return laidOut(lines).join("\n");
}

/** Writes `config.json`; `dtype` is the weights' type. */
export function configJson(configuration: Configuration, tokens: SpecialTokens, dtype: string): string {
  const { names } = configuration;
  return jsonText({
    architectures: [names.model],
    model_type: names.modelType,
    auto_map: {
      AutoConfig: `${names.configuration}.${names.config}`,
      AutoModelForCausalLM: `${names.modeling}.${names.model}`,
    },
    ...Object.fromEntries(fieldsOf(configuration).map(({ name, value }) => [name, value])),
    ...Object.fromEntries(OWN.map(([name]) => [name, true])),
    ...tokenFields(tokens),
    torch_dtype: dtype,
  });
}

/** Fields for the special tokens that the tokenizer has. */
export const tokenFields = ({
  bos,
  eos,
  pad,
}: SpecialTokens): Readonly<Record<string, number | readonly number[]>> => ({
  ...(bos === null ? {} : { bos_token_id: bos }),
  ...(eos.length === 0 ? {} : { eos_token_id: eos.length === 1 ? eos[0]! : eos }),
  ...(pad === null ? {} : { pad_token_id: pad }),
});

export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** How a method reads an argument from `config`. */
export const argumentText = (config: string, argument: Argument, called: ConfigNames): string => {
  const text = `${config}.${called.argument(argument.name)}`;
  return isShare(argument) ? `mt.ratio(${text})` : text;
};
