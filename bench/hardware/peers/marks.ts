// Marks in the log of a peer's process, beside the names of operators.

/** After the last operator. */
export const END = "end";
/** Before the name of an operator that did not end in time. */
export const LATE = "late ";
