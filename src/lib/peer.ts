/** Client libraries of servers: optional packages, loaded by the adapter that needs one when it is opened. */
import { ShoalError } from './errors.ts';

/**
 * `await peer('the Redis broker', '@redis/client', () => import('@redis/client'))`. Rejects with SH1304 and the
 * `npm install` that brings it, if it is missing. `install`: what to install, if that is more than its name.
 */
export async function peer<T>(forWhat: string, name: string, load: () => Promise<T>, install = name): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    // Another one that is missing is one of its own.
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) throw cause;
    throw new ShoalError('SH1304', `${forWhat} needs the package ${name}`, { hint: `npm install ${install}` });
  }
}
