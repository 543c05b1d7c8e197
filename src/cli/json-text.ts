/**
 * JSON as this program prints it: one line, and nothing in it that a terminal would act on (X13). JSON itself leaves
 * DEL, C1 and the marks that turn text round as they are; as `\u009b` they mean the same and do nothing.
 */

const unsafe = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

export function jsonText(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
