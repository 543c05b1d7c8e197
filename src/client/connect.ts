/** `connect` as users call it: refuses what could only be a mistake before anything is opened. */
import { connect as connectCluster } from './cluster.ts';
import { optionError, refuseUnknown, textOption } from './options.ts';
import { refuseInsideTask } from './submission.ts';
import type { Cluster } from './types.ts';

const who = 'connect';

/**
 * Opens a cluster: `inline:` (this thread), `local:` or `local:8` (threads of this process), `http://HOST:PORT` of a
 * coordinator. Without an address: `SHOAL_ADDRESS`, then `local:`. Throws SH1301 for an address that nobody understands,
 * SH1104 for one of this process where a worker loads the module.
 */
export async function connect(address?: string, options: { token?: string; threads?: number } = {}): Promise<Cluster> {
  if (address !== undefined && typeof address !== 'string')
    throw optionError(who, 'address', address, 'a text, like local: or http://HOST:PORT');
  // A thread that opens threads of its own, which load the module, and so on.
  const isElsewhere = /^https?:/.test(address ?? process.env.SHOAL_ADDRESS ?? '');
  if (!isElsewhere) refuseInsideTask(who, 'clusters');
  refuseUnknown(who, '', ['token', 'threads'], options);
  textOption(who, 'token', options.token);
  return connectCluster(address, options);
}
