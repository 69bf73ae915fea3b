// Pixels of pictures: from files, onto canvases, and with the squares that a route skipped faded.
import type { RouteMap } from "../device/protocol.js";
import { h } from "../dom.js";
import { percent } from "./numbers.js";

/** Channels, rows and columns. */
type Sizes = readonly [number, number, number];

/** A picture that is given. */
export interface GivenPicture {
  readonly pixels: Float32Array;
  readonly sizes: Sizes;
}

/** How much of its colour a skipped square keeps. */
const FADED = 0.2;

/** Draws pixels from 0 to 1; `opacity` of each pixel by its row and column. */
export function drawPixels(
  canvas: HTMLCanvasElement,
  pixels: Float32Array,
  [channels, rows, columns]: Sizes,
  opacity: (y: number, x: number) => number = () => 1,
): void {
  [canvas.width, canvas.height] = [columns, rows];
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[Math.min(c, channels - 1) * rows * columns + i]!;
    image.data[4 * i + 3] = 255 * opacity(Math.floor(i / columns), i % columns);
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** The pixels of a file, scaled to the model's sizes. Throws for a file that is no picture. */
export async function pixelsOf(file: File, [channels, rows, columns]: Sizes): Promise<Float32Array> {
  const bitmap = await createImageBitmap(file, { resizeWidth: columns, resizeHeight: rows });
  const context = new OffscreenCanvas(columns, rows).getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, columns, rows);
  const of = (i: number, c: number): number => data[4 * i + c]! / 255;
  const pixels = new Float32Array(channels * rows * columns);
  for (let i = 0; i < rows * columns; i++)
    for (let c = 0; c < channels; c++)
      pixels[c * rows * columns + i] = channels === 1 ? (of(i, 0) + of(i, 1) + of(i, 2)) / 3 : of(i, c);
  return pixels;
}

/**
 * The picture for each route of its squares, with the skipped ones faded; null if the tokens are no grid of squares of
 * the picture, row by row.
 */
export function patchPictures({ tokens, axis, routes }: RouteMap, { pixels, sizes }: GivenPicture): HTMLElement | null {
  const [, rows, columns] = sizes;
  const size = Math.sqrt((rows * columns) / tokens);
  if (!Number.isInteger(size) || rows % size !== 0 || columns % size !== 0) return null;
  const across = columns / size;
  const items = routes.map(({ path, chosen }) => {
    const canvas = h("canvas", { class: "pixels", role: "img" });
    const took = new Set(chosen);
    drawPixels(canvas, pixels, sizes, (y, x) =>
      took.has(Math.floor(y / size) * across + Math.floor(x / size)) ? 1 : FADED,
    );
    const share = `computed ${percent(chosen.length / tokens)} of ${tokens} squares`;
    canvas.setAttribute("aria-label", `${path} ${share}`);
    return h("figure", {}, canvas, h("figcaption", {}, path, h("br"), share));
  });
  const group = h("div", { class: "patches", role: "group", "aria-label": `Routes along ${axis}` }, ...items);
  return h(
    "div",
    {},
    h("p", { class: "note" }, "The squares that each route computed; skipped squares are faded."),
    group,
  );
}
