/**
 * Node's flags for what runs tasks: those of this process, without the ones that say what *this* process runs. A program
 * that came by `node -e` would start once more in every child, which starts children.
 */
const withValue = new Set(['-e', '--eval', '-p', '--print', '-pe', '--input-type']);

export function withoutInput(flags: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < flags.length; at++) {
    const flag = flags[at]!;
    if (withValue.has(flag)) {
      // `-p` may stand alone; and what follows is no flag (Node says so).
      if (flags[at + 1]?.startsWith('-') === false) at += 1;
    } else if (!withValue.has(flag.split('=', 1)[0]!)) kept.push(flag);
  }
  return kept;
}
