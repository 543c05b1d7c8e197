/** A text that must not be seen: whatever prints it, prints `***` (X03). Only who asks for it by `reveal` gets it. */
import { inspect } from 'node:util';

export class Secret {
  readonly #text: string;
  /** For errors: where it was said. */
  readonly from: string | undefined;

  constructor(text: string, from?: string) {
    this.#text = text;
    this.from = from;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [inspect.custom](): string {
    return '***';
  }
}
