/** Client libraries of servers: optional packages, loaded by the adapter that needs one when it is opened. */
import { ShoalError } from './errors.ts';

/**
 * `await peer('the Redis broker', '@redis/client', () => import('@redis/client'))`. Rejects with SH1304 and the
 * `npm install` that brings it, if it is missing.
 */
export async function peer<T>(forWhat: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new ShoalError('SH1304', `${forWhat} needs the package ${name}`, { hint: `npm install ${name}`, cause });
  }
}
