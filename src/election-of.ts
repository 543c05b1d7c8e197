/** Elections by their addresses. */
import { resolve } from 'node:path';
import type { Election } from './elections/election.ts';
import { type ElectionOptions, leaseElection } from './elections/lease.ts';
import { noElection } from './elections/none.ts';
import { ShoalError } from './lib/errors.ts';

const known = 'none: or file:DIR';

/** Connects to nothing yet: a server that is down is tried by the campaign. */
export async function openElection(url: string, options: ElectionOptions): Promise<Election> {
  if (url === 'none:') return noElection();
  const [, scheme, rest] = /^([a-z]+):(.*)$/.exec(url) ?? [];
  switch (scheme) {
    case 'file': {
      const folder = rest!.replace(/^\/\//, '');
      if (folder === '') throw unknownElection(url, 'a folder is missing, as in file:.shoal/election');
      const { fileStore } = await import('./elections/file.ts');
      return leaseElection(fileStore(resolve(folder), options), options);
    }
    default:
      throw unknownElection(url, `use ${known}`);
  }
}

function unknownElection(url: string, hint: string): ShoalError {
  // Its user and password are nobody's business.
  const shown = url.replace(/\/\/[^/@]*@/, '//***@');
  return new ShoalError('SH1321', `"${shown}" is no election that shoal knows`, { hint });
}
