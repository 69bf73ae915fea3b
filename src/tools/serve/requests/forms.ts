// The fields of a request that say what form its texts must have.
import { flag, oneOf, type Read, type Reader } from "../../../runtime/program/reader.js";
import { ConstraintError, type Form } from "../../../generation/constrain/index.js";
import type { TokenConstraint } from "../../../generation/generate/index.js";
import { hinted, invalid } from "./errors.js";
import { JsonBounds } from "./json-bounds.js";
import type { Served } from "./options.js";
import { anyText, body, type Fields } from "./body.js";

export interface FormFields {
  readonly response_format: Form | null;
  readonly grammar: Form;
  readonly json_schema: Form;
  readonly structured_outputs: Form;
}

const anyJson: Read<unknown> = (r) => r.value;

/** A JSON schema, in the words of OpenAI's API. */
const namedSchema = body<{ readonly schema: unknown }, { name: string; description: string; strict: boolean }>(
  { schema: anyJson },
  { name: (r) => r.string(), description: anyText, strict: flag },
);

const responseFormat: Read<Form | null> = (r) => {
  const type = r.get("type").string();
  if (type === "text" || type === "json_object") {
    r.fields(["type"]);
    return type === "text" ? null : { kind: "object" };
  }
  if (type !== "json_schema") return r.get("type").fail(`must be text, json_object or json_schema`);
  if (r.get("json_schema").value === undefined) r.get("json_schema").fail("is missing");
  r.fields(["type", "json_schema"]);
  return { kind: "schema", schema: namedSchema(r.get("json_schema")).schema };
};

/** The `text.format` of /v1/responses, which replies repeat. */
export interface TextFormat {
  readonly form: Form | null;
  readonly shown: object;
}

const flatSchema = body<
  { readonly type: "json_schema"; readonly schema: unknown },
  { name: string; description: string; strict: boolean }
>({ type: oneOf(["json_schema"]), schema: anyJson }, { name: (r) => r.string(), description: anyText, strict: flag });

/** The field `text.format` of /v1/responses, in which the parts of a schema are not within `json_schema`. */
export const textFormat: Read<TextFormat> = (r) => {
  if (r.get("type").value !== "json_schema") return { form: responseFormat(r), shown: r.value as object }; // it is one
  const { schema, ...own } = flatSchema(r);
  return { form: { kind: "schema", schema }, shown: { strict: false, ...own, schema } };
};

const list: Read<readonly string[]> = (r) => r.list((item) => item.string(), 10_000);

/** The forms of vLLM, one in each request. */
const structuredOutputs: Read<Form> = (r) => {
  const fields = body<
    object,
    { json: unknown; regex: string; choice: readonly string[]; grammar: string; json_object: boolean }
  >(
    {},
    {
      json: anyJson,
      regex: anyText,
      choice: list,
      grammar: anyText,
      json_object: (own) => own.value === true || own.fail("must be true"),
    },
  )(r);
  const { json, regex, choice, grammar, json_object } = fields;
  const forms: readonly (Form | null)[] = [
    json === undefined ? null : { kind: "schema", schema: typeof json === "string" ? parsed(r.get("json")) : json },
    regex === undefined ? null : { kind: "pattern", pattern: regex },
    choice === undefined
      ? null
      : choice.length === 0
        ? r.get("choice").fail("is empty")
        : { kind: "choice", choices: choice },
    grammar === undefined ? null : { kind: "grammar", grammar },
    json_object === undefined ? null : { kind: "object" },
  ];
  const [form, ...others] = forms.filter((one) => one !== null);
  if (!form || others.length > 0) return r.fail("must have one of json, regex, choice, grammar and json_object");
  return form;
};

function parsed(r: Reader): unknown {
  const excess = new JsonBounds().excess(anyText(r));
  if (excess !== null) r.fail(excess);
  try {
    return JSON.parse(anyText(r));
  } catch {
    return r.fail("is not JSON");
  }
}

export const formFields: Fields<FormFields> = {
  response_format: responseFormat,
  grammar: (r) => ({ kind: "grammar", grammar: r.string(Infinity) }),
  json_schema: (r) => ({ kind: "schema", schema: r.value }),
  structured_outputs: structuredOutputs,
};

/** The forms of a request, by their fields. That of `tool_choice` is the form of the calls. */
export type AskedForms = Partial<FormFields> & {
  readonly "text.format"?: Form | null;
  readonly tool_choice?: Form | null;
};

const FIELDS: readonly (keyof AskedForms)[] = [
  ...(Object.keys(formFields) as (keyof FormFields)[]),
  "text.format",
  "tool_choice",
];

/** The fields of a request that say a form. */
export const namedForms = (fields: AskedForms): readonly (keyof AskedForms)[] =>
  FIELDS.filter((name) => (fields[name] ?? null) !== null);

/**
 * Makes a constraint for each text of a request; null if texts may have any form. Throws RequestError for two forms,
 * and for one that modc cannot follow.
 */
export async function constraintOf(
  { constraints }: Served,
  fields: AskedForms,
): Promise<(() => TokenConstraint) | null> {
  const [name, other] = namedForms(fields);
  if (name === undefined) return null;
  if (other !== undefined) throw invalid(`${name} and ${other} exclude each other: give one of them`, other);
  try {
    return await constraints.of(fields[name]!); // it is not null
  } catch (fault) {
    if (fault instanceof ConstraintError) throw invalid(`${name}: ${hinted(fault)}`, name);
    throw fault;
  }
}
