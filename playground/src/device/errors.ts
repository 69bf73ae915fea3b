// Why a model cannot do what was asked, for people.

/** A wish that the model does not fit; `hint` says how it would. */
export class ModelError extends Error {
  readonly hint: string | null;
  constructor(message: string, hint: string | null = null) {
    super(message);
    this.name = "ModelError";
    this.hint = hint;
  }
}
