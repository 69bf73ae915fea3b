// A form for the inputs of a model beside its prompt: texts, pictures and numbers; others are random.
import type { Form, FormInput } from "../compiler/form.js";
import type { GivenValues } from "../device/protocol.js";
import { field, h } from "../dom.js";
import { chance, samplePicture } from "../samples.js";
import { drawPixels, pixelsOf, type GivenPicture } from "./pixels.js";

interface Asked {
  readonly input: FormInput;
  readonly element: HTMLElement;
  /** Null: random. */
  readonly values: () => GivenValues | null;
  readonly picture?: () => GivenPicture;
}

/** Classes of made pictures for a model without any. */
const USUAL_CLASSES = 10;

export class InputForm {
  readonly element = h("div", { class: "inputs" });
  #asked: readonly Asked[] = [];
  #shown = "";

  /** Asks for the inputs of a form; those that are asked for already keep their values. */
  show({ inputs, classes }: Form): void {
    const key = JSON.stringify([inputs, classes]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.#asked = inputs.map((input) => asking(input, classes ?? USUAL_CLASSES));
    this.element.replaceChildren(...this.#asked.map(({ element }) => element));
  }

  values(): Readonly<Record<string, GivenValues>> {
    return Object.fromEntries(
      this.#asked.flatMap(({ input, values }) => {
        const given = values();
        return given ? [[input.name, given]] : [];
      }),
    );
  }

  /** The first picture; null if there is none. */
  picture(): GivenPicture | null {
    return this.#asked.find(({ picture }) => picture)?.picture?.() ?? null;
  }
}

function asking(input: FormInput, classes: number): Asked {
  const { name, kind, whole, type } = input;
  if (kind === "text") {
    const area = h("textarea", { rows: 1, "aria-label": name }, "The whale is near");
    const values = (): GivenValues => {
      const data = Uint32Array.from(new TextEncoder().encode(area.value || " "));
      return { shape: [1, data.length], data };
    };
    return { input, element: h("div", { class: "prompt" }, h("span", { class: "note" }, name), area), values };
  }
  if (kind === "number") {
    const number = h("input", { type: "number", value: 0, step: whole ? 1 : "any", "aria-label": name });
    const values = (): GivenValues => {
      const value = number.valueAsNumber || 0;
      return { shape: [1], data: whole ? Uint32Array.of(Math.max(0, value)) : Float32Array.of(value) };
    };
    return { input, element: h("div", { class: "bar" }, field(name, number)), values };
  }
  if (kind === "picture") return askingPicture(input, classes);
  const element = h("p", { class: "note" }, `${name}: ${type} is random, by the seed.`);
  return { input, element, values: () => null };
}

/** A made picture of a class, or a file. */
function askingPicture(input: FormInput, classes: number): Asked {
  const { name } = input;
  const sizes = input.sizes as readonly [number, number, number]; // of a picture
  let pixels: Float32Array;
  const canvas = h("canvas", { class: "pixels", role: "img" });
  const show = (made: Float32Array, what: string): void => {
    pixels = made;
    drawPixels(canvas, pixels, sizes);
    canvas.setAttribute("aria-label", `${name}: ${what}`);
  };
  const number = h("input", { type: "number", value: 0, min: 0, max: classes - 1, step: 1 });
  const makeSample = (): void => {
    const label = Math.min(classes - 1, Math.max(0, Math.floor(number.valueAsNumber) || 0));
    show(samplePicture(label, classes, sizes, chance(label + 1)), `a made picture, sample ${label}`);
  };
  number.addEventListener("change", makeSample);
  const file = h("input", { type: "file", accept: "image/*", "aria-label": `${name} from a file` });
  const note = h("span", { class: "fault" });
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    note.textContent = "";
    if (!chosen) return;
    pixelsOf(chosen, sizes).then(
      (read) => show(read, chosen.name),
      () => (note.textContent = `${chosen.name} is not a picture that this browser reads`),
    );
  });
  makeSample();
  const element = h("div", { class: "bar" }, canvas, field(`${name}: sample`, number), file, note);
  return {
    input,
    element,
    values: () => ({ shape: [1, ...sizes], data: pixels }),
    picture: () => ({ pixels, sizes }),
  };
}
