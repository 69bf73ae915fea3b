// Templates that would not end, or fill the memory, are refused soon; all others give what the engine by itself gives.
import { Template } from "@huggingface/jinja";
import { describe, expect, it } from "vitest";
import { chatTemplate, type Message } from "../../../src/models/tokenizer/chat.js";
import { processorTime } from "../../processor-time.js";

const HELLO: readonly Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hello, <b>you</b> & all" },
];
const none = new Map<string, string>();
const prompt = (template: string, messages = HELLO): string => chatTemplate(template, none, "x").prompt(messages);

/** A line for each template, so that what is tried can be read at a glance. */
const ENDLESS: readonly (readonly [what: string, template: string])[] = [
  ["a range that fills the memory", "{{ range(1000000000) | length }}"],
  ["a range without an end", "{% for i in range(0, 999999999999999999) %}{% endfor %}"],
  ["nested loops", "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}"],
  ["deep nested loops with text", `${"{% for i in range(30) %}".repeat(12)}x${"{% endfor %}".repeat(12)}`],
  [
    "continue in a loop",
    "{% for i in range(90000) %}{% for j in range(90000) %}{% continue %}{% endfor %}{% endfor %}",
  ],
  [
    "unknown names in a loop",
    "{% for i in range(90000) %}{{ no is defined }}{{ no is defined }}{{ no is defined }}{% endfor %}",
  ],
  [
    "a text doubled",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x | length }}",
  ],
  [
    "a text doubled by +",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}",
  ],
  [
    "a text doubled by replace",
    "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x.replace('a', 'aa') %}{% endfor %}{{ n.x }}",
  ],
  [
    "replace by a long text",
    "{% set x = 'aaaaaaaaaa' * 1 if false else 'a' | indent(3000000, true) %}{{ x.replace(' ', x) | length }}",
  ],
  ["the filter replace", "{% set x = 'a' | indent(1000000, true) %}{{ x | replace(' ', x) | length }}"],
  [
    "a method kept in a name",
    "{% set x = 'a' | indent(1000000, true) %}{% set f = x.replace %}{{ f(' ', x) | length }}",
  ],
  ["a method by a computed name", "{% set x = 'a' | indent(1000000, true) %}{{ x['re' ~ 'place'](' ', x) | length }}"],
  ["an indent of a billion", "{{ 'a' | indent(1000000000, true) }}"],
  ["an indent of many lines", "{% set x = range(50000) | join('\\n') %}{{ x | indent(100000) | length }}"],
  ["JSON indented by a billion", "{{ {'a': [1, 2, 3]} | tojson(indent=100000000) }}"],
  [
    "JSON with long separators",
    "{% set x = 'a' | indent(1000000, true) %}{{ range(50000) | tojson(separators=(x, x)) | length }}",
  ],
  ["a join with a long text", "{% set x = 'a' | indent(1000000, true) %}{{ range(50000) | join(x) | length }}"],
  [
    "a list doubled",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}",
  ],
  [
    "a list of itself, as JSON",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
  ],
  [
    "a list of itself, printed",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
  ],
  [
    "a list of itself, joined",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | join(',') }}",
  ],
  [
    "a list of itself, beside a text",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x ~ '' }}",
  ],
  [
    "a list of itself, compared",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == 'a' }}",
  ],
  [
    "a list of itself, as a reason",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ " +
      "raise_exception(n.x) }}",
  ],
  [
    "namespaces that share",
    "{% set n = namespace(a=1) %}{% for i in range(60) %}{% set m = namespace(a=n, b=n) %}{% set n = m %}{{ m | " +
      "tojson }}{% endfor %}",
  ],
  ["a namespace of itself", "{% set n = namespace(a=1) %}{% set n.a = n %}{{ n | tojson }}"],
  ["a macro of itself", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"],
  [
    "macros of each other, twice",
    "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
  ],
  [
    "a caller of itself",
    "{% macro f(n) %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f(1) %}{{ g() }}{% endcall %}{% endmacro " +
      "%}{{ g() }}",
  ],
  ["a filter block", "{% set x = 'a' | indent(2000000, true) %}{% filter replace(' ', x) %}{{ x }}{% endfilter %}"],
  [
    "a text searched again and again",
    "{% set x = 'a' | indent(3000000, true) %}{% for i in range(90000) %}{{ 'b' in x }}{% endfor %}",
  ],
  ["a list searched again and again", "{% set x = range(90000) %}{% for i in range(90000) %}{{ -1 in x }}{% endfor %}"],
  [
    "a text cut again and again",
    "{% set x = 'a' | indent(3000000, true) %}{% for i in range(90000) %}{{ x[1:] | length }}{% endfor %}",
  ],
  [
    "texts that are put together and looked into",
    "{% set x = 'a' | indent(2000000, true) %}{% for i in range(90000) %}{{ (x ~ i)[0] }}{% endfor %}",
  ],
  [
    "a text split into characters",
    "{% set x = 'a ' | indent(3000000, true) %}{% for i in range(9000) %}{% set y = x.split(' ') %}{% endfor %}",
  ],
  [
    "a sort again and again",
    "{% set x = range(90000) %}{% for i in range(9000) %}{% set y = x | sort(reverse=true) %}{% endfor %}",
  ],
  [
    "many results kept",
    "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = n.x + [i ~ ''] %}{% endfor %}{{ n.x | " +
      "length }}",
  ],
  ["methods of many texts", "{% for i in range(99000) %}{{ (i ~ 'a').upper() }}{{ (i ~ 'a').lower() }}{% endfor %}"],
  [
    "a spread again and again",
    "{% macro f() %}{{ varargs | length }}{% endmacro %}{% set x = range(90000) %}{% for i in range(9000) %}{{ " +
      "f(*x) }}{% endfor %}",
  ],
  ["parentheses without an end", `{{ ${"(".repeat(90_000)}1${")".repeat(90_000)} }}`],
  ["a template of a megabyte", "{{ 1 }}".repeat(150_000)],
  ["blanks that the parser goes over again and again", `{% if x %}${" ".repeat(150_000)}{% endif %}`],
];

describe("a template that would not end is refused", () => {
  it.each(ENDLESS)("%s", (_, template) => {
    const seconds = processorTime();
    expect(() => prompt(template)).toThrow(
      /^the chat template of x (refuses the messages|cannot be read): (it (takes more than \d+ steps|writes more than \d+ characters|nests or recurses too deeply|has |gives no reason)|Maximum call)/,
    );
    expect(seconds()).toBeLessThan(20); // without the bound: years
  });
});

/** Templates as they are in use, and each part of the language. */
const USUAL: readonly string[] = [
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% " +
    "endfor %}{% if add_generation_prompt %}a{% endif %}",
  "{%- if messages[0].role == 'system' -%}\n  S: {{ messages[0].content | trim }}\n{%- endif -%}\n{%- for m in " +
    "messages[1:] %}\n{{ loop.index }}/{{ loop.length }}: {{ m.content.split(',')[0] }}{{ loop.last }}\n{% endfor " +
    "%}",
  "{% set ns = namespace(found=false, n=0) %}{% for m in messages[::-1] %}{% if not ns.found and m.role == " +
    "'user' %}{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.found }}{{ ns.n }}",
  "{% macro show(m, depth=0) %}{{ m.role | upper }}{% if depth < 3 %}{{ show(m, depth + 1) }}{% endif %}{% " +
    "endmacro %}{{ show(messages[0]) }}{{ show(m=messages[1], depth=2) }}",
  "{{ messages | map(attribute='role') | join(', ') }}|{{ messages | selectattr('role', 'equalto', 'user') | " +
    "list | length }}|{{ messages | rejectattr('role', 'eq', 'user') | first }}",
  "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ {'b': 1, 'a': [true, none, 1.5]} | " +
    "tojson(sort_keys=true, separators=(',', ':')) }}{{ 'é' | tojson(ensure_ascii=true) }}",
  "{{ 'a-b-c'.split('-', 1) }}{{ ' x '.strip() }}{{ 'abc'[1:] }}{{ 'abc'[-1] }}{{ 'abc'.replace('b', 'xx') }}{{ " +
    "'aXa' | replace('a', 'b', 1) }}{{ 'l1\\nl2' | indent(2, first=true) }}",
  "{{ [3, 1, 2] | sort }}{{ [1, 2] + [3] }}{{ 2 in [1, 2] }}{{ 'b' in 'abc' }}{{ 'role' in messages[0] }}{{ not " +
    "x }}{{ x is defined }}{{ 1 if x else 2 }}{{ x | default('d') }}",
  "{% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ k }}={{ v }}{% else %}none{% endfor %}{% for i in " +
    "range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
  "{% call(x) wrap('t') %}<{{ x }}>{% endcall %}",
  "{% macro wrap(t) %}{{ caller(t) }}{% endmacro %}{% call(x) wrap('t') %}<{{ x }}>{% endcall %}{% filter upper " +
    "%}quiet {{ 1 }}{% endfilter %}{% set b %}block{% endset %}{{ b }}",
  "{{ range(3) | list }}{{ range(1, 4) }}{{ range(5, 0, -2) }}{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 3 }}{{ 1 / 2 }}{{ " +
    "-3 | abs }}{{ '5' | int + 1 }}{{ 3 | string ~ 'x' }}{{ 'a' ~ 1 ~ none | default('') }}",
  "{% macro v(a) %}{{ a }}{{ varargs }}{{ kwargs | tojson }}{% endmacro %}{{ v(1, 2, 3) }}{{ v(1, **{'z': 2}) " +
    "}}{{ v(*[1, 2]) }}",
  "{{ messages[0]['content']['length'] }}{{ messages[0].content.length }}{{ 'abc'['upper']() }}{{ {'a': " +
    "1}.get('b', 'c') }}{{ {'b': 1, 'a': 2} | dictsort }}{{ 'x'.startswith('x') }}{{ 'hello world' | title }}",
  "{{ raise_exception('only ' ~ messages | length) }}",
  "{{ no.thing }}",
  "{{ 'a' * 3 }}",
];

it("a template in use gives what the engine gives, and refuses as it refuses", () => {
  const result = (body: () => string): string => {
    try {
      return body();
    } catch (fault) {
      return `refused: ${(fault as Error).message.replace(/^the chat template of x [a-z ]+: /, "")}`;
    }
  };
  for (const template of USUAL) {
    const plain = result(() => new Template(template).render({ messages: HELLO, add_generation_prompt: true }));
    expect(
      result(() => prompt(template)),
      template,
    ).toBe(plain);
  }
});

it("long conversations are no fault of the template", () => {
  const template = USUAL[1]!;
  const messages = Array.from({ length: 3000 }, (_, i) => ({
    role: i % 2 ? "assistant" : "user",
    content: `message ${i}, `.repeat(20),
  }));
  expect(prompt(template, messages).length).toBeGreaterThan(30_000);
  const long = [{ role: "user", content: "a word, ".repeat(500_000) }];
  expect(
    prompt(
      "{% for m in messages %}{{ m.content | trim }}{{ m.content.split('</think>')[-1] }}{{ m.content[:10] }}{% " +
        "endfor %}",
      long,
    ).length,
  ).toBeGreaterThan(7_000_000);
});

it("what a template says of the messages is shown in one line, without what steers a terminal", () => {
  const template = "{{ raise_exception('no\\u001b[2Jthanks\\n\\x07' ~ '\u202e' ~ messages[0].content) }}";
  expect(() => prompt(template, [{ role: "user", content: "y".repeat(1e6) }])).toThrow(
    /^the chat template of x refuses the messages: no\\u001b\[2Jthanks\\n\\u0007\\u202ey{250,} … y{100,}$/,
  );
});
