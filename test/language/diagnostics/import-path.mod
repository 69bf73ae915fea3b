import { A } from "../outside.mod"
import { B } from "/etc/passwd.mod"
import { C } from "https://example.org/c.mod"
import { D } from ".\\windows.mod"
import { E } from "e.mod"

model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
