// Made pictures: stripes whose angle says the class, with a phase, a colour and noise by chance.

/** Stripes across a picture. */
const STRIPES = 3;
const NOISE = 0.1;

/** Numbers from 0 to 1 by a seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The pixels of a picture of a class, from 0 to 1, [channels, rows, columns]. */
export function samplePicture(
  label: number,
  classes: number,
  [channels, rows, columns]: readonly [number, number, number],
  random: () => number,
): Float32Array {
  const angle = (Math.PI * label) / classes;
  const phase = 2 * Math.PI * random();
  const colour = Array.from({ length: channels }, () => 0.4 + 0.6 * random());
  const pixels = new Float32Array(channels * rows * columns);
  for (let i = 0; i < pixels.length; i++) {
    const [channel, y, x] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
    const along = (x * Math.cos(angle)) / columns + (y * Math.sin(angle)) / rows;
    const wave = 0.5 + 0.5 * Math.sin(2 * Math.PI * STRIPES * along + phase);
    pixels[i] = Math.min(1, Math.max(0, colour[channel]! * wave + NOISE * (random() - 0.5)));
  }
  return pixels;
}
