/** Where this user's things lie. `SHOAL_HOME` moves all of them. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Tokens and the like. */
export function configHome(): string {
  return process.env.SHOAL_HOME || join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'shoal');
}

/** What may be deleted at any time. */
export function cacheHome(): string {
  return process.env.SHOAL_HOME
    ? join(process.env.SHOAL_HOME, 'cache')
    : join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'shoal');
}
