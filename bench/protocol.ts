// The protocol between the bench and each peer's process.

/** A tensor on its way to a peer. */
export interface Sent {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array;
}

export type Kind = "dense" | "mod" | "routing" | "product" | "attention" | "mixture" | "moby";

/** Everything a peer needs to build a block; the same for every peer. */
export interface CaseData {
  readonly id: string;
  readonly kind: Kind;
  readonly T: number;
  readonly dim: number;
  readonly heads: number;
  /** Rows that a routed layer chooses, or experts that a token chooses. */
  readonly k: number;
  /** The block as modc reads it, and parameters to set. */
  readonly source: string;
  readonly set: Readonly<Record<string, number>>;
  /** Texts of imported files, by path. */
  readonly files: readonly (readonly [string, string])[];
  readonly weights: readonly (readonly [string, Sent])[];
  readonly inputs: readonly (readonly [string, Sent])[];
}

export type PeerName = "modc" | "jax" | "onnxruntime" | "onnxruntime-cpu" | "tfjs";

export type Request =
  | { readonly kind: "open" }
  /**
   * Builds a block that applies itself `repeat` times and warms it up. Milliseconds from the call to the first result,
   * and that result, come back (`Built.first`).
   */
  | { readonly kind: "build"; readonly data: CaseData; readonly repeat: number }
  /** Runs a built block once: milliseconds. */
  | { readonly kind: "time"; readonly id: string }
  | { readonly kind: "release"; readonly id: string };

export type Reply =
  | { readonly kind: "opened"; readonly device: string }
  | { readonly kind: "built"; readonly milliseconds: number; readonly output: Float32Array }
  | { readonly kind: "timed"; readonly milliseconds: number }
  | { readonly kind: "released" }
  | { readonly kind: "failed"; readonly message: string };
