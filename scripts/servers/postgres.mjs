// @ts-check
/** PostgreSQL; as user `postgres` where we are root, since it refuses to run as root. */
import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exchange } from './exchange.mjs';
import { startServer } from './server.mjs';
import { find, pathOf, versions } from './where.mjs';

export const where = () => find('postgres', 'postgres', versions('/usr/lib/postgresql', 'bin'));

/**
 * @typedef {object} PostgresOptions
 * @property {Readonly<Record<string, string>>} [settings] such as `{ fsync: 'off' }`
 */

/** @param {PostgresOptions} [options] */
export function startPostgres({ settings = {} } = {}) {
  const command = pathOf(where);
  const user = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  return startServer({
    name: 'postgres',
    url: ({ ports }) => `postgres://postgres@127.0.0.1:${ports[0]}/postgres`,
    prepare: ({ folder, data }) => {
      if (user.uid !== undefined) {
        chownSync(folder, user.uid, user.gid);
        chownSync(data, user.uid, user.gid);
      }
      const initdb = join(dirname(command), 'initdb');
      execFileSync(initdb, ['-D', data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--no-locale', '--no-sync'], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        ...user,
      });
    },
    launch: ({ folder, data, ports }) => ({
      command,
      args: [
        ...['-D', data, '-p', `${ports[0]}`, '-c', 'listen_addresses=127.0.0.1', '-k', folder],
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      ...user,
    }),
    answers: async ({ ports }) => {
      const first = await exchange(/** @type {number} */ (ports[0]), startupMessage(), (answer) => answer.length > 0);
      // 'R' lets us in; an 'E' says that the database system is still starting up.
      if (first[0] !== 0x52) throw new Error(first.toString('latin1'));
    },
    // Killed, it would leave its segment of shared memory in the system; its immediate shutdown does not.
    endSignal: 'SIGQUIT',
    shutdownSignal: 'SIGINT',
    tidy: ({ data }) => removeSharedMemory(data),
  });
}

function startupMessage() {
  const body = Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}

/** @param {string} data */
function removeSharedMemory(data) {
  try {
    // The seventh line of its lock file: key and id of the segment.
    const id = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[6]?.trim().split(/\s+/)[1];
    if (id) execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' });
  } catch {} // It shut down by itself and took both along.
}

/** @param {'-u' | '-g'} which */
function idOf(which) {
  return Number(execFileSync('id', [which, 'postgres'], { encoding: 'utf8' }));
}
