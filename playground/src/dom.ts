// Creates elements from a tag, properties and children, in place of a framework.

type Child = Node | string | null;
type Property = string | number | boolean | ((event: never) => void) | null | undefined;

/**
 * Creates an HTML element. `on…` are listeners; true sets an attribute without a value; false, null and undefined omit
 * it.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Readonly<Record<string, Property>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  give(element, properties, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Creates an SVG element, like `h`. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  properties: Readonly<Record<string, Property>> = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  give(element, properties, children);
  return element;
}

function give(element: Element, properties: Readonly<Record<string, Property>>, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as (event: Event) => void);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((c) => c !== null));
}

let fields = 0;

/** A field with its label before it. */
export function field(label: string, input: HTMLElement): HTMLElement {
  input.id ||= `field-${++fields}`;
  return h("span", { class: "field" }, h("label", { for: input.id }, label), input);
}

/** A select box, with a label for each value. */
export function choice(
  options: readonly { readonly value: string; readonly label: string }[],
  chosen: string,
  onchange: (value: string) => void,
): HTMLSelectElement {
  const select = h(
    "select",
    {},
    ...options.map(({ value, label }) => h("option", { value, selected: value === chosen }, label)),
  );
  select.addEventListener("change", () => onchange(select.value));
  return select;
}
