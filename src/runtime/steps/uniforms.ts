// Lays out the uniform blocks of a program's steps in one buffer; equal blocks share an offset.
import type { Program, ProgramUniform } from "../program/program.js";
import { type SizeIndex, SizeTable } from "./sizes.js";

export type Word = { readonly size: SizeIndex } | { readonly bits: number };

/** The offsets of uniform blocks in one buffer. Equal blocks share an offset. */
export class UniformLayout {
  readonly words: { readonly at: number; readonly word: Word }[] = [];
  readonly #offsets = new Map<string, number>();
  readonly #alignment: number;
  readonly #sizes: SizeTable;
  #end = 0;

  constructor(alignment: number, sizes: SizeTable) {
    this.#alignment = Math.max(16, alignment);
    this.#sizes = sizes;
  }

  /** Bytes of the uniform buffer. */
  get bytes(): number {
    return Math.max(16, this.#end);
  }

  offset(uniforms: readonly ProgramUniform[]): number {
    const key = uniforms.map((u) => (typeof u === "object" ? `f${bitsOf(u.f32)}` : u)).join();
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const offset = Math.ceil(this.#end / this.#alignment) * this.#alignment;
    uniforms.forEach((uniform, i) => this.words.push({ at: offset / 4 + i, word: wordFor(uniform, this.#sizes) }));
    // WGSL may round the size of a struct of words up to a multiple of 16 bytes.
    this.#end = offset + Math.ceil(uniforms.length / 4) * 16;
    this.#offsets.set(key, offset);
    return offset;
  }
}

const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!;

const wordFor = (uniform: ProgramUniform, sizes: SizeTable): Word =>
  typeof uniform === "object" ? { bits: bitsOf(uniform.f32) } : { size: sizes.index(uniform) };

/** Bytes of the uniform buffer of a program on a device of this `minUniformBufferOffsetAlignment`. */
export function uniformBytes(program: Pick<Program, "steps" | "kernels">, alignment: number): number {
  const layout = new UniformLayout(alignment, new SizeTable());
  for (const step of program.steps)
    if (step.kind === "dispatch" && program.kernels[step.kernel]!.uniforms > 0) layout.offset(step.uniforms);
  return layout.bytes;
}
