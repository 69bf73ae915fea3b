// The part of the vocabulary for recurrences along the rows of each sequence, in the notation of `vocabulary.ts`.
import { schemasOf } from "./schema.js";

const kernel = schemasOf("kernel");
const rewritten = schemasOf("rewritten");

export const recurrences = {
  /**
   * x[…, N, …], starts → the row `by` before each along `dim`; zeros where there is none. `by` below 0: rows behind.
   */
  shift: rewritten(2, { dim: "number", by: "number" }),
  /**
   * starts → index u32[N], bool[N]: the row `by` before each row of its sequence, and whether it exists. The index goes
   * around within the sequence, so that its entries are distinct.
   */
  shifted_rows: kernel(1, { axis: "text", by: "number" }),
  /**
   * x[…, N, …], starts (, d of the shape of x) → y_n = exp(d_n) · y_(n−1) + x_n along `dim` from the first row of each
   * sequence; without d their sum. With `reverse` from the last row: y_n = exp(d_n) · y_(n+1) + x_n. f32. If exp(d_n)
   * is 0, y_n is x_n.
   */
  scan: kernel([2, 3], { dim: "number", reverse: "flag" }),
  /**
   * q[G, N, K], k[G, N, K], v[H, N, V], starts (, d[H, N] or d[H, N, K], with `decays`) (, forget[G, N, K], at[G, N,
   * K], with `forgets`) → y[H, N, V]. f32. From the first row of each sequence, with S_0 = 0:
   * S_n = diag(exp(d_n)) · S_(n−1) − forget_nᵀ · (at_n · S_(n−1)) + k_nᵀ · v_n, y_n = scale · q_n · S_n.
   * G divides H, and each operand has its own; head h of H reads head h · G / H. If exp(d) is 0, nothing of a row of S
   * is left.
   */
  linear_attention: kernel([4, 7], { scale: "number", decays: "flag", forgets: "flag" }),
  /**
   * The same with forget and at as one operand [G, N, 2K], and at the end S_0 [B, H, K, V] → y[H, N, V], the S of each
   * sequence's last row.
   */
  linear_attention_from: kernel([5, 7], { scale: "number", decays: "flag", forgets: "flag" }),
  /**
   * The inputs of `linear_attention`, and dy[H, N, V] → [3, H, N, V]: dv, the cotangent of at · S, and
   * at · S itself; [2, H, N, K]: dq, dat; [2, H, N, K]: dk, dforget. Without `forgets` the first of each alone.
   */
  linear_attention_grad: kernel([5, 8], { scale: "number", decays: "flag", forgets: "flag" }),
} as const;
