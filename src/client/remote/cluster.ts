/** A coordinator somewhere else, as the client opens it. */
import { tokenFor } from '../../lib/tokens.ts';
import type { Opened, OpenOptions } from '../opener.ts';
import { openRemoteSession } from './session.ts';

/** `http://HOST:PORT` or `https://HOST:PORT`. Rejects with SH3001 (nobody there), SH3002 (not let in) or SH3005 (another release). */
export async function openRemoteCluster(address: string, options: OpenOptions): Promise<Opened> {
  const plain = address.replace(/\/+$/, '');
  const session = await openRemoteSession({
    address: plain,
    token: tokenFor(plain, options.token),
    from: options.from,
    ...(options.attempts !== undefined && { attempts: options.attempts }),
    ...(options.onState && { onState: options.onState }),
  });
  return {
    address: plain,
    durable: true,
    isRemote: true,
    session: () => session,
    close: () => {
      session.close();
      return Promise.resolve();
    },
  };
}
