import { Linear } from "std

const mode = 'raw
