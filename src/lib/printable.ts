/**
 * Text that came from users' data, made safe to print (X13): a task's name, an error's message or a log line may hold
 * escape sequences that recolour, retitle or clear the reader's terminal, or newlines that forge a line of ours.
 */

// C0 without tab and newline, DEL, C1, and the marks that turn the direction of text round.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Keeps newlines and tabs; all else that a terminal would act on is shown as `\x1b`. */
export function printable(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(unsafe, escaped);
}

/** As `printable`, on one line. */
export function printableLine(text: string): string {
  return printable(text).replace(/\n/g, '\\n').replace(/\t/g, ' ');
}
