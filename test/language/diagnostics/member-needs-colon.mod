import { Linear } from "std"

block Pair(dim: int) {
  k = Linear(dim, dim)
  q: Linear(dim, dim)
}
