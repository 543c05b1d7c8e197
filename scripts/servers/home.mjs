// @ts-check
/** What no distribution packages is kept here, one folder a version; `npm run services:install` fills it. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const versions = {
  kafka: '4.4.0',
  cassandra: '5.0.9',
  ferretdb: '1.24.2',
  valkey: '9.1.2.post2',
};

/** @param {keyof typeof versions} name */
export function homeOf(name) {
  return join(process.env.SHOAL_SERVICES ?? join(homedir(), '.cache/shoal/services'), `${name}-${versions[name]}`);
}

/**
 * Its folder is there as a whole or not at all: the installer renames it into place.
 * @param {keyof typeof versions} name
 */
export const isHome = (name) => existsSync(homeOf(name));
