// @ts-check
/**
 * FerretDB 1.x with SQLite below: it speaks MongoDB's wire protocol, and is no MongoDB. It has neither replicas nor
 * transactions; what depends on those is not tested by it. A real `mongod` in the path is preferred to it.
 */
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { homeOf, isHome } from './home.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

const mongod = () => find('mongodb', 'mongod');

/** @returns {import('./where.mjs').Where} */
export const where = () => {
  const real = mongod();
  if ('path' in real) return real;
  const path = join(homeOf('ferretdb'), 'ferretdb');
  return isHome('ferretdb') ? { path } : { why: `there is neither a mongod nor ${path}: npm run services:install mongodb` };
};

/** What answers to MongoDB's protocol here, for what a test says about itself. */
export const isReal = () => 'path' in mongod();

export function startMongodb() {
  const command = pathOf(where);
  return startServer({
    name: 'mongodb',
    url: ({ ports }) => `mongodb://127.0.0.1:${ports[0]}`,
    launch: ({ data, ports }) => ({
      command,
      args: isReal()
        ? ['--dbpath', data, '--port', `${ports[0]}`, '--bind_ip', '127.0.0.1', '--nounixsocket']
        : [`127.0.0.1:${ports[0]}`, `file:${data}/`],
    }),
    answers: async ({ ports }) => {
      await exchange(/** @type {number} */ (ports[0]), hello(), (bytes) => bytes.includes('maxWireVersion'));
    },
  });
}

/** `{ hello: 1, $db: 'admin' }` as OP_MSG. */
function hello() {
  const fields = Buffer.from('\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0', 'latin1');
  const message = Buffer.alloc(16 + 4 + 1 + 4 + fields.length);
  message.writeInt32LE(message.length, 0);
  message.writeInt32LE(1, 4);
  message.writeInt32LE(2013, 12);
  message.writeInt32LE(4 + fields.length, 21);
  fields.copy(message, 25);
  return message;
}
