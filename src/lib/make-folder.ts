import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * A folder for this user alone, with all that is missing above it; gives the first one that it made. Node's own `recursive` never
 * ends where the folder above is there and the file system says of a new one in it that there is no such thing, as /proc does.
 */
export function makeFolder(path: string): string | undefined {
  const made = tryMake(path);
  if (made !== 'nothing above') return made ? path : undefined;
  const first = dirname(path) === path ? undefined : makeFolder(dirname(path));
  // Once more, and this time whatever is wrong is told.
  if (tryMake(path) === 'nothing above') mkdirSync(path);
  return first ?? path;
}

/** False: it is there. */
function tryMake(path: string): boolean | 'nothing above' {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'nothing above';
    if (code === 'EEXIST' && statSync(path).isDirectory()) return false;
    throw error;
  }
}
